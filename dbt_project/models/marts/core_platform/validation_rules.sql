{{ publish_source('core_platform', 'validation_rules') }}
