-- One row an accepted event that cancels another: what it takes back, or why it takes back nothing.
with

cancelling as (

    select * from {{ ref('stg_usage_cancelling') }}
    where cancels_event_id is not null

),

named as (

    select distinct
        tenant_id,
        service_month,
        driver_key,
        cancels_event_id
    from cancelling

),

-- One event of the same tenant, driver and month, which is no cancellation itself.
cancelled as (

    select
        events.tenant_id,
        events.event_id,
        events.service_month,
        events.driver_key,
        events.usage_date,
        events.quantity,
        events.known_night
    from {{ ref('stg_usage_cancelling') }} as events
    inner join named
        on
            events.tenant_id = named.tenant_id
            and events.service_month = named.service_month
            and events.driver_key = named.driver_key
            and events.event_id = named.cancels_event_id
    where events.cancels_event_id is null

),

placed as (

    select
        cancelling.tenant_id,
        cancelling.tenant_slug,
        cancelling.event_id,
        cancelling.service_month,
        cancelling.driver_key,
        cancelling.usage_date,
        cancelling.cancels_event_id,
        cancelling.known_night,
        cancelled.event_id as cancelled_event_id,
        cancelled.usage_date as cancelled_usage_date,
        cancelled.quantity as cancelled_quantity,
        -- The night from which the cancelled event counts no more.
        case
            when cancelled.event_id is not null then greatest(cancelling.known_night, cancelled.known_night)
        end as cancelled_night,
        row_number() over (
            partition by cancelling.tenant_id, cancelled.event_id, cancelling.service_month
            order by cancelling.known_night, cancelling.received_at, cancelling.content_hash, cancelling.event_id
        ) as place
    from cancelling
    left join cancelled
        on
            cancelling.tenant_id = cancelled.tenant_id
            and cancelling.service_month = cancelled.service_month
            and cancelling.driver_key = cancelled.driver_key
            and cancelling.cancels_event_id = cancelled.event_id

)

select
    tenant_id,
    tenant_slug,
    event_id,
    service_month,
    driver_key,
    usage_date,
    cancels_event_id,
    known_night,
    case
        when cancels_event_id = event_id then 'cancels_itself'
        when cancelled_event_id is null then 'cancels_nothing'
        when place > 1 then 'already_cancelled'
        else 'cancellation'
    end as status,
    cancelled_usage_date,
    cancelled_quantity,
    cancelled_night
from placed
