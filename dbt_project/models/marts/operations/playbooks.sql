{{ publish_source('operations', 'playbooks') }}
