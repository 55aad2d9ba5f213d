-- One row a service month of usage, with a fingerprint of its usage and of what usage costs.
with

costs as (

    select {{ rows_digest(['driver_key', 'used_from', 'used_to', 'unit_cost', 'unit_label']) }} as digest
    from {{ ref('stg_cost_drivers') }}

)

select
    months.service_month,
    months.fingerprint || ' ' || coalesce(costs.digest, '') as fingerprint
from {{ ref('stg_usage_months') }} as months
cross join costs
