{{ publish_source('knowledge', 'documents') }}
