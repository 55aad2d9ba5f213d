{{ publish_source('supply_chain', 'cost_drivers') }}
