-- A view: what an invoice date bills never changes, so that publishing writes it out once and not every night.
with

uses as (

    select
        events.event_id,
        events.tenant_id,
        events.driver_key,
        events.usage_date,
        events.service_month,
        {{ closing_of('events.known_night') }} as known_close,
        {{ closing_of('cancellations.cancelled_night') }} as cancelled_close
    from {{ ref('stg_usage_events') }} as events
    left join {{ ref('int_usage_cancellations') }} as cancellations
        on
            events.tenant_id = cancellations.tenant_id
            and events.event_id = cancellations.cancels_event_id
            and events.service_month = cancellations.service_month
            and events.driver_key = cancellations.driver_key
            and cancellations.status = 'cancellation'
    where events.cancels_event_id is null

),

-- An event is in its line from the first date that knows it and bills its day, until its cancellation is known or its
-- day is billed otherwise.
moves as (

    select
        uses.event_id,
        runs.line_id,
        uses.tenant_id,
        uses.service_month,
        runs.invoice_date,
        greatest(uses.known_close, runs.billed_from) as entered_on,
        case
            when uses.cancelled_close is null then runs.billed_to
            else least(greatest(uses.cancelled_close, runs.billed_from), runs.billed_to)
        end as left_on
    from uses
    inner join {{ ref('int_usage_line_runs') }} as runs
        on
            uses.tenant_id = runs.tenant_id
            and uses.driver_key = runs.driver_key
            and uses.service_month = runs.service_month
            and uses.usage_date >= runs.day_from
            and uses.usage_date < runs.day_to

)

select
    event_id,
    line_id,
    tenant_id,
    service_month,
    invoice_date,
    cast(case when invoice_date = entered_on then 1 else -1 end as smallint) as counts
from moves
where
    entered_on < left_on
    and (invoice_date = entered_on or invoice_date = left_on)
