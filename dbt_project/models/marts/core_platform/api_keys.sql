{{ publish_source('core_platform', 'api_keys') }}
