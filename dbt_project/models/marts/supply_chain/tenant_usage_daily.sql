with

usage as (

    select
        tenant_id,
        tenant_slug,
        usage_date,
        driver_key,
        cast(sum(quantity) as decimal(38, 6)) as quantity,
        count(*) as events
    from {{ ref('int_usage_events_classified') }}
    where status = 'counted'
    group by tenant_id, tenant_slug, usage_date, driver_key

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
left join drivers on usage.driver_key = drivers.driver_key
