-- One row a service month, with the ids of its usage events that the same tenant used in another month, too: each is an
-- event of its own, but a sender that counts anew each month, or sends twice, should be asked.
with

months as (

    select distinct service_month
    from {{ ref('int_usage_days') }}

),

-- A book of one month has none: then no event is looked at.
several as (

    select
        service_month,
        count(*) over () as n_months
    from months

),

ids as (

    select
        events.tenant_id,
        events.event_id,
        min(events.service_month) as first_month,
        max(events.service_month) as last_month
    from {{ ref('stg_usage_events') }} as events
    inner join several
        on
            events.service_month = several.service_month
            and several.n_months > 1
    group by events.tenant_id, events.event_id
    having min(events.service_month) <> max(events.service_month)

)

select
    events.service_month,
    count(*) as ids
from {{ ref('stg_usage_events') }} as events
inner join ids
    on
        events.tenant_id = ids.tenant_id
        and events.event_id = ids.event_id
group by events.service_month
