-- One row per segment and piece of feedback that a member gave while in the segment: survey responses (with emotions)
-- and feedback signals.
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

),

members as (

    select * from {{ ref('stg_segment_members') }}

)

-- distinct: a customer whose days of membership overlap is still one member
select distinct
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
