-- One row a tenant, used item, service month, run of days that a price or subscription marks off, and invoice date that
-- first knows it: the usage of the run and what it costs the platform.
{{ config(**by_service_month('int_priced_months')) }}

with

months as (

    {{ months_to_make('int_priced_months') }}

),

runs as (

    select distinct
        tenant_id,
        item_key,
        service_month,
        day_from,
        day_to
    from {{ ref('int_usage_prices') }}
    where service_month in (select months.service_month from months)

)

select
    runs.tenant_id,
    runs.item_key,
    runs.service_month,
    runs.day_from,
    runs.day_to,
    usage.known_close,
    cast(sum(usage.quantity) as decimal(38, 6)) as quantity,
    cast(sum(usage.events) as bigint) as events,
    cast(sum(usage.quantity * drivers.unit_cost) as decimal(38, 12)) as cost
from runs
inner join {{ ref('int_usage_days') }} as usage
    on
        runs.tenant_id = usage.tenant_id
        and runs.item_key = usage.driver_key
        and runs.service_month = usage.service_month
        and runs.day_from <= usage.usage_date
        and runs.day_to > usage.usage_date
left join {{ ref('stg_cost_drivers') }} as drivers
    on
        usage.driver_key = drivers.driver_key
        and usage.usage_date >= drivers.used_from
        and usage.usage_date < drivers.used_to
group by runs.tenant_id, runs.item_key, runs.service_month, runs.day_from, runs.day_to, usage.known_close
