-- One row a tenant and usage day: what the usage of tenant_usage_daily cost the platform, of all drivers. A month is
-- made anew only if its usage or its costs changed.
{{ config(**by_service_month('int_costed_months')) }}

with

months as (

    {{ months_to_make('int_costed_months') }}

),

usage as (

    select
        tenant_id,
        usage_date,
        driver_key,
        service_month,
        sum(quantity) as quantity
    from {{ ref('int_usage_days') }}
    where service_month in (select months.service_month from months)
    group by tenant_id, usage_date, driver_key, service_month
    having sum(events) > 0

)

select
    usage.tenant_id,
    usage.usage_date,
    usage.service_month,
    cast(sum(usage.quantity * drivers.unit_cost) as decimal(38, 12)) as cost,
    count(*) as drivers
from usage
left join {{ ref('stg_cost_drivers') }} as drivers
    on
        usage.driver_key = drivers.driver_key
        and usage.usage_date >= drivers.used_from
        and usage.usage_date < drivers.used_to
group by usage.tenant_id, usage.usage_date, usage.service_month
