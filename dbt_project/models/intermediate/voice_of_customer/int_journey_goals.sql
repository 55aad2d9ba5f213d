-- The goal of a journey: the step with which most of those who took all its steps took the last new one.
with

first_times as (

    select
        journey_id,
        customer_id,
        step,
        min(place) as place
    from {{ ref('stg_journey_events') }}
    group by journey_id, customer_id, step

),

ranked as (

    select
        journey_id,
        customer_id,
        step,
        row_number() over (partition by journey_id, customer_id order by place) as nth
    from first_times

),

goals as (

    select
        ranked.journey_id,
        ranked.step
    from ranked
    inner join {{ ref('stg_journeys') }} as journeys
        on
            ranked.journey_id = journeys.id
            and ranked.nth = journeys.steps_count

)

{{ most_common('goals', ['journey_id'], 'step') }}
