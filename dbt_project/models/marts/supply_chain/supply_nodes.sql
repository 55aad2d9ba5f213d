{{ publish_source('supply_chain', 'supply_nodes') }}
