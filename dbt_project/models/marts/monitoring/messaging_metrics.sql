with

hours as (

    select
        *,
        coalesce(bot_handled, 0) + coalesce(human_handled, 0) as handled
    from {{ ref('messaging_hourly_volume') }}

)

select
    date,
    count(*) as hours_reported,
    cast(sum(handled) as bigint) as conversations,
    cast(sum(bot_handled) as bigint) as bot_handled,
    cast(sum(human_handled) as bigint) as human_handled,
    cast(sum(handoffs) as bigint) as handoffs,
    -- An hour that reports no rate, or no conversation, has no say in the day's.
    sum(deflection_rate * handled) / nullif(sum(case when deflection_rate is not null then handled end), 0)
        as deflection_rate,
    cast(sum(handoffs) as double) / nullif(sum(bot_handled), 0) as handoff_rate
from hours
group by date
