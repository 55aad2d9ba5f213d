{{ publish_source('operations', 'action_logs') }}
