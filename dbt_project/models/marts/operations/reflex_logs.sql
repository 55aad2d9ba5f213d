{{ publish_source('operations', 'reflex_logs') }}
