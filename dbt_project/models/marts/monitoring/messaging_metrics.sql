with

hours as (

    select
        date,
        coalesce(bot_handled, 0) as bot_handled,
        coalesce(human_handled, 0) as human_handled,
        handoffs,
        case when deflection_rate between 0 and 1 then deflection_rate end as deflection_rate
    from {{ ref('messaging_hourly_volume') }}

),

days as (

    select
        date,
        count(*) as hours_reported,
        cast(sum(bot_handled + human_handled) as bigint) as conversations,
        cast(sum(bot_handled) as bigint) as bot_handled,
        cast(sum(human_handled) as bigint) as human_handled,
        cast(sum(handoffs) as bigint) as handoffs,
        -- An hour that reports no rate, or no conversation, has no say in the day's.
        cast(
            sum(cast(deflection_rate as decimal(18, 9)) * (bot_handled + human_handled)) as double precision
        ) / nullif(sum(case when deflection_rate is not null then bot_handled + human_handled end), 0)
            as platform_deflection_rate
    from hours
    group by date

)

select
    date,
    hours_reported,
    conversations,
    bot_handled,
    human_handled,
    handoffs,
    cast(bot_handled as double precision) / nullif(conversations, 0) as deflection_rate,
    cast(handoffs as double precision) / nullif(bot_handled, 0) as handoff_rate,
    {{ wilson_low('bot_handled', 'conversations') }} as deflection_low,
    {{ wilson_high('bot_handled', 'conversations') }} as deflection_high,
    platform_deflection_rate,
    platform_deflection_rate - cast(bot_handled as double precision) / nullif(conversations, 0)
        as deflection_rate_difference,
    case
        when conversations = 0 then 'no conversations'
        when platform_deflection_rate is null then 'the platform tells no rate'
        when bot_handled = 0 then 'the bot handled none, so there is no rate of handoffs'
    end as reason
from days
