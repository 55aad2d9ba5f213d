{{ config(**by_service_month('int_topic_months', 'date')) }}

with

responses as (

    select * from {{ ref('int_response_scores') }}
    where {{ is_to_be_made('int_topic_months', 'submitted_on') }}

),

-- A topic that is told for one survey and for any counts once.
topics as (

    select distinct
        response_id,
        topic_id
    from {{ ref('int_response_topics') }}
    where {{ is_to_be_made('int_topic_months', 'submitted_on') }}

)

select
    responses.response_id,
    topics.topic_id,
    responses.tenant_id,
    responses.survey_id,
    responses.submitted_on as date,
    responses.csat,
    responses.overall_score,
    {{ sentiment_label('responses.overall_score') }} as sentiment
from responses
left join topics on responses.response_id = topics.response_id
