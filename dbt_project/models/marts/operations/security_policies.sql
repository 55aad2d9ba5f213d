{{ publish_source('operations', 'security_policies') }}
