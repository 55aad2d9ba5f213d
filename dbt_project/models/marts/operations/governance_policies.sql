{{ publish_source('operations', 'governance_policies') }}
