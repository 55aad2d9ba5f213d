with

steps as (

    select
        events.journey_id,
        customers.tenant_id,
        events.customer_id,
        events.step,
        events.occurred_at,
        events.place,
        lead(events.step) over (
            partition by events.journey_id, events.customer_id order by events.place
        ) as next_step,
        lead(events.occurred_at) over (
            partition by events.journey_id, events.customer_id order by events.place
        ) as next_at,
        coalesce(events.step = goals.step, false) as is_goal
    from {{ ref('stg_journey_events') }} as events
    left join {{ ref('customers') }} as customers on events.customer_id = customers.id
    left join {{ ref('int_journey_goals') }} as goals on events.journey_id = goals.journey_id

),

travellers as (

    select
        journey_id,
        tenant_id,
        customer_id,
        max(case when is_goal then 1 else 0 end) as reached_goal
    from steps
    group by journey_id, tenant_id, customer_id

),

timed as (

    select
        *,
        {{ dbt.datediff('occurred_at', 'next_at', 'second') }}
            as seconds
    from steps

),

moves as (

    select
        timed.journey_id,
        timed.tenant_id,
        timed.customer_id,
        timed.step as from_step,
        timed.next_step as to_step,
        travellers.reached_goal,
        timed.seconds
    from timed
    inner join travellers
        on
            timed.journey_id = travellers.journey_id
            and timed.customer_id = travellers.customer_id

    union all

    select
        journey_id,
        tenant_id,
        customer_id,
        cast(null as {{ dbt.type_string() }}) as from_step,
        step as to_step,
        cast(null as bigint) as reached_goal,
        cast(null as bigint) as seconds
    from steps
    where place = 1

),

edges as (

    select
        journey_id,
        tenant_id,
        from_step,
        to_step,
        count(*) as transitions,
        count(distinct customer_id) as customers,
        {{ median('seconds') }} as median_seconds
    from moves
    group by journey_id, tenant_id, from_step, to_step

),

-- What became of those who took a step; those who entered the journey stand under the step that is NULL.
outcomes as (

    select
        journey_id,
        tenant_id,
        from_step as step,
        count(distinct customer_id) as entered,
        count(distinct case when reached_goal = 1 then customer_id end) as reached_goal,
        count(distinct case when reached_goal = 0 and to_step is null then customer_id end) as dropped_off
    from moves
    where from_step is not null
    group by journey_id, tenant_id, from_step

    union all

    select
        journey_id,
        tenant_id,
        cast(null as {{ dbt.type_string() }}) as step,
        count(*) as entered,
        cast(sum(reached_goal) as bigint) as reached_goal,
        0 as dropped_off
    from travellers
    group by journey_id, tenant_id

),

described as (

    select
        edges.*,
        outcomes.entered,
        case when goals.step is not null then outcomes.reached_goal end as reached_goal,
        case when goals.step is not null then outcomes.dropped_off end as dropped_off,
        goals.step as goal_step,
        journeys.id is not null as is_known,
        journeys.success_rate as platform_success_rate
    from edges
    inner join outcomes
        on
            edges.journey_id = outcomes.journey_id
            and edges.tenant_id is not distinct from outcomes.tenant_id
            and edges.from_step is not distinct from outcomes.step
    left join {{ ref('int_journey_goals') }} as goals on edges.journey_id = goals.journey_id
    left join {{ ref('stg_journeys') }} as journeys on edges.journey_id = journeys.id

)

select
    journey_id,
    tenant_id,
    from_step,
    to_step,
    transitions,
    customers,
    entered,
    reached_goal,
    dropped_off,
    cast(dropped_off as double precision) / entered as drop_off_rate,
    {{ wilson_low('dropped_off', 'entered') }} as drop_off_low,
    {{ wilson_high('dropped_off', 'entered') }} as drop_off_high,
    cast(reached_goal as double precision) / entered as goal_rate,
    {{ wilson_low('reached_goal', 'entered') }} as goal_low,
    {{ wilson_high('reached_goal', 'entered') }} as goal_high,
    case when from_step is null then cast(reached_goal as double precision) / entered - platform_success_rate end
        as success_rate_difference,
    goal_step,
    median_seconds,
    coalesce(from_step = to_step, false) as is_repeat,
    case
        when not is_known then 'the journey is not in journeys, so that its goal is not known'
        when goal_step is null then 'nobody took all the steps of the journey, so that its goal is not known'
    end as reason
from described
