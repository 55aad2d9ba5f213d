-- One row per tenant, survey, topic and week (Monday to Sunday, UTC) in which the survey has scored responses: the
-- topic's leave-one-out impact in that week. A week in which nobody touched the topic counts: its impact is 0 then. A
-- week in which every response touched it has no impact to speak of (null).
with responses as (

    select
        tenant_id,
        survey_id,
        week_start,
        count(*) as n_responses,
        sum({{ exact_score('overall_score') }}) as sum_score
    from {{ ref('int_response_scores') }}
    where overall_score is not null
    group by tenant_id, survey_id, week_start

),

response_topics as (

    select * from {{ ref('int_response_topics') }}
    where overall_score is not null

),

survey_topics as (

    select distinct
        tenant_id,
        survey_id,
        topic_id
    from response_topics

),

touched as (

    select
        tenant_id,
        survey_id,
        topic_id,
        week_start,
        count(*) as n_topic,
        sum({{ exact_score('overall_score') }}) as sum_topic
    from response_topics
    group by tenant_id, survey_id, topic_id, week_start

)

select
    responses.tenant_id,
    responses.survey_id,
    survey_topics.topic_id,
    responses.week_start,
    responses.n_responses,
    coalesce(touched.n_topic, 0) as n_topic,
    {{ leave_one_out_impact(
        'responses.n_responses', 'responses.sum_score', 'coalesce(touched.n_topic, 0)', 'coalesce(touched.sum_topic, 0)'
    ) }} as impact
from responses
inner join survey_topics
    on
        responses.tenant_id is not distinct from survey_topics.tenant_id
        and responses.survey_id = survey_topics.survey_id
left join touched
    on
        responses.tenant_id is not distinct from touched.tenant_id
        and responses.survey_id = touched.survey_id
        and survey_topics.topic_id = touched.topic_id
        and responses.week_start = touched.week_start
