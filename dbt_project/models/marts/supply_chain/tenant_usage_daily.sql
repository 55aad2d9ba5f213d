-- A month is made anew only if its usage or its costs changed.
{{ config(**by_service_month('int_costed_months', 'usage_date')) }}

with

months as (

    {{ months_to_make('int_costed_months') }}

),

usage as (

    select
        tenant_id,
        {{ dbt.any_value('tenant_slug') }} as tenant_slug,
        usage_date,
        driver_key,
        cast(sum(quantity) as decimal(38, 6)) as quantity,
        cast(sum(events) as bigint) as events
    from {{ ref('int_usage_days') }}
    where service_month in (select months.service_month from months)
    group by tenant_id, usage_date, driver_key
    having sum(events) > 0

),

drivers as (

    select * from {{ ref('stg_cost_drivers') }}

)

select
    usage.tenant_id,
    usage.usage_date,
    usage.driver_key,
    usage.quantity,
    cast(usage.quantity * drivers.unit_cost as decimal(38, 12)) as cost,
    usage.tenant_slug,
    drivers.unit_cost,
    drivers.unit_label,
    usage.events
from usage
left join drivers
    on
        usage.driver_key = drivers.driver_key
        and usage.usage_date >= drivers.used_from
        and usage.usage_date < drivers.used_to
