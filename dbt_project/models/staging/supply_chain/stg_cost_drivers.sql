-- Cost drivers: what a unit of each resource costs the platform, in US dollars.
select
    driver_key,
    unit_cost,
    unit_label
from {{ source('supply_chain', 'cost_drivers') }}
