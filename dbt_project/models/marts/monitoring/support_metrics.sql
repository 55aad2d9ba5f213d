with

agents as (

    select * from {{ ref('support_agent_performance') }}

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
    sum(csat * volume) / nullif(sum(case when csat is not null then volume end), 0) as csat,
    cast(
        round(
            cast(sum(avg_handle_time * volume) as double)
            / nullif(sum(case when avg_handle_time is not null then volume end), 0)
        ) as bigint
    ) as avg_handle_time,
    min(csat) as lowest_csat,
    max(csat) as highest_csat
from groups
group by agent_group
