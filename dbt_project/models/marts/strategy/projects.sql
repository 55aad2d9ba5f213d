{{ publish_source('strategy', 'projects') }}
