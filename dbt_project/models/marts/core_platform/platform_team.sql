{{ publish_source('core_platform', 'platform_team') }}
