{{ publish_source('core_platform', 'users') }}
