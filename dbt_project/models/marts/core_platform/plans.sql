{{ publish_source('core_platform', 'plans') }}
