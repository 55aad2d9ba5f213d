-- One row an accepted usage event and what became of it. Of the events that share an id the loader left one.
-- A view: nearly every event counts, and those that do not are found in the few rows of int_usage_cancellations.
select
    events.tenant_id,
    events.tenant_slug,
    events.event_id,
    events.driver_key,
    events.quantity,
    events.occurred_at,
    events.usage_date,
    events.service_month,
    events.received_at,
    events.known_night,
    events.cancels_event_id,
    -- The night from which a cancelled event counts no more.
    cancelled_by.cancelled_night,
    case
        when own.status is not null then own.status
        when cancelled_by.event_id is not null then 'cancelled'
        else 'counted'
    end as status
from {{ ref('stg_usage_events') }} as events
left join {{ ref('int_usage_cancellations') }} as own
    on
        events.tenant_id = own.tenant_id
        and events.event_id = own.event_id
        and events.service_month = own.service_month
left join {{ ref('int_usage_cancellations') }} as cancelled_by
    on
        events.tenant_id = cancelled_by.tenant_id
        and events.event_id = cancelled_by.cancels_event_id
        and events.service_month = cancelled_by.service_month
        and events.driver_key = cancelled_by.driver_key
        and cancelled_by.status = 'cancellation'
