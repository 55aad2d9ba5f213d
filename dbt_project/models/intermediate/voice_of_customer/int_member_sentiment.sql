-- One row per segment and piece of feedback that a member gave while in the segment: survey responses (with emotions)
-- and feedback signals. A month is made anew only if its feedback, or who belongs to a segment, changed.
{{ config(**by_service_month('int_member_months', 'day')) }}

with feedback as (

    select
        'survey_response' as entity_type,
        response_id as entity_id,
        customer_id,
        submitted_on as day,
        overall_score as score,
        joy,
        anger,
        fear
    from {{ ref('int_response_scores') }}
    where {{ is_to_be_made('int_member_months', 'submitted_on') }}

    union all

    select
        'customer_event' as entity_type,
        event_id as entity_id,
        customer_id,
        occurred_on as day,
        sentiment_score as score,
        cast(null as double precision) as joy,
        cast(null as double precision) as anger,
        cast(null as double precision) as fear
    from {{ ref('stg_customer_events') }}
    where {{ is_to_be_made('int_member_months', 'occurred_on') }}

),

memberships as (

    select
        segment_id,
        customer_id,
        valid_from,
        valid_to,
        max(valid_to) over (
            partition by segment_id, customer_id order by valid_from, valid_to
            rows between unbounded preceding and 1 preceding
        ) as covered_to
    from {{ ref('stg_segment_members') }}

),

-- a customer whose days of membership overlap is still one member: only the days that are not covered yet count
members as (

    select
        segment_id,
        customer_id,
        greatest(valid_from, coalesce(covered_to, valid_from)) as valid_from,
        valid_to
    from memberships
    where valid_to > valid_from and (covered_to is null or valid_to > covered_to)

)

select
    members.segment_id,
    feedback.entity_type,
    feedback.entity_id,
    feedback.customer_id,
    feedback.day,
    feedback.score,
    feedback.joy,
    feedback.anger,
    feedback.fear
from feedback
inner join members
    on
        feedback.customer_id = members.customer_id
        and feedback.day >= members.valid_from
        and feedback.day < members.valid_to
where feedback.score is not null
