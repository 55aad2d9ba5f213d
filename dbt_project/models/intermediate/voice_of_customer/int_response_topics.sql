-- One row per survey response and topic that it touches, with the response's scores.
with responses as (

    select * from {{ ref('int_response_scores') }}

),

topics as (

    select * from {{ ref('stg_survey_topics') }}

)

select
    responses.response_id,
    responses.survey_id,
    responses.tenant_id,
    topics.topic_id,
    topics.category,
    responses.submitted_on,
    responses.week_start,
    responses.overall_score,
    responses.csat,
    -- that the response touches the topic is known once both are
    greatest(responses.known_night, topics.known_night) as known_night
from responses
inner join topics
    on
        responses.response_id = topics.response_id
        and responses.survey_id = coalesce(topics.survey_id, responses.survey_id)
