{{ publish_source('knowledge', 'user_org_map') }}
