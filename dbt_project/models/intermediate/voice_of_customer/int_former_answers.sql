-- One row per CSAT answer, and per topic that it touched, that counted once and no longer does: the answer was
-- corrected, withdrawn or held back, or its topic was taken back. `topic_id` null: the answer. It counted from
-- known_night to before ended_night.
with former as (

    select * from {{ ref('stg_former_survey_responses') }}
    where csat is not null

),

current_topics as (

    select * from {{ ref('stg_survey_topics') }}

),

former_topics as (

    select * from {{ ref('stg_former_survey_topics') }}

),

topics as (

    select
        survey_id,
        topic_id,
        response_id,
        known_night,
        cast(null as date) as ended_night
    from current_topics

    union all

    select
        survey_id,
        topic_id,
        response_id,
        known_night,
        ended_night
    from former_topics

),

answers as (

    select * from {{ ref('int_response_scores') }}
    where csat is not null

),

manual as (

    select * from {{ ref('stg_topic_overrides') }}

),

assignments as (

    select * from {{ ref('int_topic_assignments') }}
    where entity_type = 'former_response'

),

-- where the platform told the topics of a survey, and where they are those found in texts
told as (

    select survey_id from {{ ref('int_response_topics') }}
    where topic_source = 'platform' and survey_id is not null

    union

    select survey_id from former_topics
    where survey_id is not null

),

touched as (

    select
        former.tenant_id,
        topics.topic_id,
        former.csat,
        former.submitted_on,
        former.known_night,
        former.ended_night,
        topics.known_night as topic_known_night,
        topics.ended_night as topic_ended_night
    from former
    inner join topics
        on
            former.response_id = topics.response_id
            and former.survey_id = coalesce(topics.survey_id, former.survey_id)

    union all

    select
        answers.tenant_id,
        former_topics.topic_id,
        answers.csat,
        answers.submitted_on,
        answers.known_night,
        former_topics.ended_night,
        former_topics.known_night as topic_known_night,
        former_topics.ended_night as topic_ended_night
    from answers
    inner join former_topics
        on
            answers.response_id = former_topics.response_id
            and answers.survey_id = coalesce(former_topics.survey_id, answers.survey_id)

    union all

    select
        former.tenant_id,
        assignments.topic_id,
        former.csat,
        former.submitted_on,
        former.known_night,
        former.ended_night,
        assignments.known_night as topic_known_night,
        cast(null as date) as topic_ended_night
    from former
    inner join assignments on former.former_id = assignments.entity_id
    where
        coalesce(former.survey_id, '') not in (select told.survey_id from told)
        and former.response_id not in (select manual.entity_id from manual)

    union all

    select
        former.tenant_id,
        manual.topic_id,
        former.csat,
        former.submitted_on,
        former.known_night,
        former.ended_night,
        manual.known_night as topic_known_night,
        cast(null as date) as topic_ended_night
    from former
    inner join manual on former.response_id = manual.entity_id
    where coalesce(former.survey_id, '') not in (select told.survey_id from told)

),

-- that an answer touches a topic is known while both are
spans as (

    select
        tenant_id,
        cast(null as {{ dbt.type_string() }}) as topic_id,
        csat,
        submitted_on,
        known_night,
        ended_night
    from former

    union all

    select
        tenant_id,
        topic_id,
        csat,
        submitted_on,
        greatest(known_night, topic_known_night) as known_night,
        least(ended_night, coalesce(topic_ended_night, ended_night)) as ended_night
    from touched

)

select * from spans
where known_night < ended_night
