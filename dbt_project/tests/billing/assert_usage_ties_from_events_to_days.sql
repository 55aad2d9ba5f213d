-- Law 2, first half: what counts of the events is what the days add up, by tenant, driver and month, in events and
-- units.
with

events as (

    select
        tenant_id,
        driver_key,
        service_month,
        sum(quantity) as quantity,
        count(*) as events
    from {{ ref('int_usage_events_classified') }}
    where status = 'counted'
    group by tenant_id, driver_key, service_month

),

days as (

    select
        tenant_id,
        driver_key,
        cast(date_trunc('month', usage_date) as date) as service_month,
        sum(quantity) as quantity,
        sum(events) as events
    from {{ ref('tenant_usage_daily') }}
    group by tenant_id, driver_key, cast(date_trunc('month', usage_date) as date)

)

select
    events.tenant_id,
    events.driver_key,
    events.service_month,
    events.quantity as events_quantity,
    days.quantity as days_quantity
from events
full outer join days
    on
        events.tenant_id = days.tenant_id
        and events.driver_key = days.driver_key
        and events.service_month = days.service_month
where
    events.tenant_id is null
    or days.tenant_id is null
    or events.quantity <> days.quantity
    or events.events <> days.events
