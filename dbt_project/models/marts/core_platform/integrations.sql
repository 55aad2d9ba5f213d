{{ publish_source('core_platform', 'integrations') }}
