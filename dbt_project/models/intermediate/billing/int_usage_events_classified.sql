-- One row a received usage event and what became of it: which delivery counts, and what is cancelled.
-- Nothing is dropped, so that received = counted + cancelled + cancellations + duplicates + refused.
with

events as (

    select * from {{ ref('stg_usage_events') }}

),

-- Of one id in one month the first known counts, then the first received, then the one with the smaller content hash.
deliveries as (

    select
        *,
        row_number() over (
            partition by tenant_id, event_id, service_month
            order by known_night, received_at, content_hash, source_file, source_line
        ) as delivery,
        first_value(content_hash) over (
            partition by tenant_id, event_id, service_month
            order by known_night, received_at, content_hash, source_file, source_line
        ) as first_content_hash
    from events

),

cancellations as (

    select
        cancelling.tenant_id,
        cancelling.event_id,
        cancelling.service_month,
        cancelling.cancels_event_id,
        cancelling.known_night,
        case
            when cancelling.cancels_event_id = cancelling.event_id then 'cancels_itself'
            when cancelled.event_id is null then 'cancels_nothing'
        end as refused_as,
        row_number() over (
            partition by cancelling.tenant_id, cancelled.event_id, cancelling.service_month
            order by cancelling.known_night, cancelling.received_at, cancelling.content_hash, cancelling.event_id
        ) as place
    from deliveries as cancelling
    left join deliveries as cancelled
        on
            cancelling.tenant_id = cancelled.tenant_id
            and cancelling.service_month = cancelled.service_month
            and cancelling.driver_key = cancelled.driver_key
            and cancelling.cancels_event_id = cancelled.event_id
            and cancelled.delivery = 1
            and cancelled.cancels_event_id is null
    where
        cancelling.delivery = 1
        and cancelling.cancels_event_id is not null

)

select
    deliveries.tenant_id,
    deliveries.tenant_slug,
    deliveries.event_id,
    deliveries.driver_key,
    deliveries.quantity,
    deliveries.occurred_at,
    deliveries.usage_date,
    deliveries.service_month,
    deliveries.received_at,
    deliveries.known_night,
    deliveries.cancels_event_id,
    -- The night from which a cancelled event counts no more.
    case when cancelled_by.event_id is not null then greatest(deliveries.known_night, cancelled_by.known_night) end
        as cancelled_night,
    case
        when deliveries.delivery > 1 and deliveries.content_hash = deliveries.first_content_hash then 'duplicate'
        when deliveries.delivery > 1 then 'duplicate_conflict'
        when own.refused_as is not null then own.refused_as
        when own.place > 1 then 'already_cancelled'
        when own.place = 1 then 'cancellation'
        when cancelled_by.event_id is not null then 'cancelled'
        else 'counted'
    end as status
from deliveries
left join cancellations as own
    on
        deliveries.delivery = 1
        and deliveries.tenant_id = own.tenant_id
        and deliveries.event_id = own.event_id
        and deliveries.service_month = own.service_month
left join cancellations as cancelled_by
    on
        deliveries.delivery = 1
        and deliveries.cancels_event_id is null
        and cancelled_by.refused_as is null
        and cancelled_by.place = 1
        and deliveries.tenant_id = cancelled_by.tenant_id
        and deliveries.event_id = cancelled_by.cancels_event_id
        and deliveries.service_month = cancelled_by.service_month
