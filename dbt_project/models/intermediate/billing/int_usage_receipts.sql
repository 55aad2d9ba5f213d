-- One row a service month and lateness of the accepted usage events, for the certificate and the laws. Lateness is in
-- whole minutes up to a day, in whole hours beyond.
select
    service_month,
    is_cancellation,
    case
        when minutes_late <= 1440 then minutes_late
        else minutes_late - (minutes_late % 60)
    end as minutes_late,
    cast(sum(events) as bigint) as events,
    cast(sum(quantity) as decimal(38, 6)) as quantity
from {{ ref('stg_usage_lateness') }}
group by
    service_month,
    is_cancellation,
    case
        when minutes_late <= 1440 then minutes_late
        else minutes_late - (minutes_late % 60)
    end
