{{ publish_source('knowledge', 'reports') }}
