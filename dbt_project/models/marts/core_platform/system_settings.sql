{{ publish_source('core_platform', 'system_settings') }}
