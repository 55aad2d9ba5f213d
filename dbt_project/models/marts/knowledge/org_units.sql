{{ publish_source('knowledge', 'org_units') }}
