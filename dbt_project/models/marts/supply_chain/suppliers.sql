{{ publish_source('supply_chain', 'suppliers') }}
