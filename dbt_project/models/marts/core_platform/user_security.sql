{{ publish_source('core_platform', 'user_security') }}
