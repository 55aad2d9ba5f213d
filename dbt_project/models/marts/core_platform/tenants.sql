{{ publish_source('core_platform', 'tenants') }}
