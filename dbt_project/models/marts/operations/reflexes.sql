{{ publish_source('operations', 'reflexes') }}
