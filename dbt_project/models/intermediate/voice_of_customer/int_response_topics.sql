-- One row per survey response and topic that it touches, with the response's scores. Where the topics of a survey come
-- from is decided here and nowhere else: the platform's (survey_topics) where it sent any for the survey, else those
-- assigned to its responses, by hand or by the words of their texts. A survey is never told by both: a response that
-- the platform gave no topic touches none, whatever its words are.
with responses as (

    select * from {{ ref('int_response_scores') }}

),

topics as (

    select * from {{ ref('stg_survey_topics') }}

),

assignments as (

    select * from {{ ref('int_topic_assignments') }}
    where entity_type = 'survey_response'

),

taxonomy as (

    select * from {{ ref('stg_taxonomy_topics') }}

),

sent as (

    select
        responses.*,
        topics.topic_id,
        topics.category,
        topics.known_night as topic_known_night,
        'platform' as topic_source
    from responses
    inner join topics
        on
            responses.response_id = topics.response_id
            and responses.survey_id = coalesce(topics.survey_id, responses.survey_id)

),

surveys_with_topics as (

    select distinct survey_id from sent

),

found as (

    select
        responses.*,
        assignments.topic_id,
        parents.label as category,
        assignments.known_night as topic_known_night,
        'text' as topic_source
    from responses
    inner join assignments on responses.response_id = assignments.entity_id
    left join surveys_with_topics on responses.survey_id = surveys_with_topics.survey_id
    left join taxonomy on assignments.topic_id = taxonomy.topic_id
    left join taxonomy as parents on taxonomy.parent_id = parents.topic_id
    where surveys_with_topics.survey_id is null

),

touched as (

    select * from sent

    union all

    select * from found

)

select
    response_id,
    response_key,
    sixteenth,
    survey_id,
    tenant_id,
    topic_id,
    category,
    topic_source,
    submitted_on,
    week_start,
    overall_score,
    csat,
    -- that the response touches the topic is known once both are
    greatest(known_night, topic_known_night) as known_night
from touched
