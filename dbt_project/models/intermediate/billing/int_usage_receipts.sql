-- One row a service month and lateness of the accepted usage events: the one pass over all of them that the certificate
-- and the laws make. Lateness is in whole minutes up to a day, in whole hours beyond.
with

events as (

    select
        service_month,
        cancels_event_id is not null as is_cancellation,
        quantity,
        {{ dbt.datediff('occurred_at', 'received_at', 'minute') }}
            as minutes_late
    from {{ ref('stg_usage_events') }}

)

select
    service_month,
    is_cancellation,
    case
        when minutes_late <= 1440 then minutes_late
        else minutes_late - (minutes_late % 60)
    end as minutes_late,
    count(*) as events,
    cast(sum(case when is_cancellation then 0 else quantity end) as decimal(38, 6)) as quantity
from events
group by
    service_month,
    is_cancellation,
    case
        when minutes_late <= 1440 then minutes_late
        else minutes_late - (minutes_late % 60)
    end
