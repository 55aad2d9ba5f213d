with

agents as (

    -- Decimals, so that no mean depends on the order of the rows; a CSAT outside 1 to 5 counts as not sent.
    select
        status,
        volume,
        avg_handle_time,
        cast(case when csat between 1 and 5 then csat end as decimal(18, 9)) as csat
    from {{ ref('support_agent_performance') }}

),

groups as (

    select
        'all' as agent_group,
        agents.*
    from agents

    union all

    select
        coalesce(status, 'unknown') as agent_group,
        agents.*
    from agents

)

-- Each agent weighs by the tickets handled; one without a figure has no say in the mean.
select
    agent_group,
    count(*) as agents,
    cast(sum(volume) as bigint) as volume,
    cast(sum(csat * volume) as double precision)
    / nullif(sum(case when csat is not null then volume end), 0) as csat,
    cast(
        round(
            cast(sum(avg_handle_time * volume) as double)
            / nullif(sum(case when avg_handle_time is not null then volume end), 0)
        ) as bigint
    ) as avg_handle_time,
    cast(min(csat) as double precision) as lowest_csat,
    cast(max(csat) as double precision) as highest_csat,
    cast(coalesce(sum(case when csat is not null then volume end), 0) as bigint) as rated_volume,
    case
        when coalesce(sum(volume), 0) = 0 then 'no tickets'
        when coalesce(sum(case when csat is not null then volume end), 0) = 0 then 'no agent has a CSAT from 1 to 5'
        when coalesce(sum(case when avg_handle_time is not null then volume end), 0) = 0 then 'no handle time was sent'
    end as reason
from groups
group by agent_group
