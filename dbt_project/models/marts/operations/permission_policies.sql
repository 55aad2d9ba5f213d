{{ publish_source('operations', 'permission_policies') }}
