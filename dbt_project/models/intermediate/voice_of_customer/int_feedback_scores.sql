-- One row per figure of a piece of feedback: CSAT and sentiment of survey responses, sentiment of feedback signals.
-- What is made of many pieces reads them here: a month is made anew only if a response or signal of it changed.
{{ config(**by_service_month('int_feedback_months', 'occurred_at')) }}

with responses as (

    select * from {{ ref('stg_survey_responses') }}
    where {{ is_to_be_made('int_feedback_months', 'submitted_at') }}

),

scores as (

    select * from {{ ref('int_response_scores') }}
    where {{ is_to_be_made('int_feedback_months', 'submitted_on') }}

)

select
    'survey_response' as entity_type,
    response_id as entity_id,
    tenant_id,
    customer_id,
    submitted_at as occurred_at,
    'csat' as component,
    cast(csat as double precision) as figure
from responses
where csat is not null

union all

select
    'survey_response' as entity_type,
    responses.response_id as entity_id,
    responses.tenant_id,
    responses.customer_id,
    responses.submitted_at as occurred_at,
    'sentiment' as component,
    scores.overall_score as figure
from responses
inner join scores on responses.response_id = scores.response_id
where scores.overall_score is not null

union all

select
    'customer_event' as entity_type,
    event_id as entity_id,
    tenant_id,
    customer_id,
    occurred_at,
    'sentiment' as component,
    sentiment_score as figure
from {{ ref('stg_customer_events') }}
where
    sentiment_score is not null
    and {{ is_to_be_made('int_feedback_months', 'occurred_at') }}
