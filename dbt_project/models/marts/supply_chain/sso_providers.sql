{{ publish_source('supply_chain', 'sso_providers') }}
