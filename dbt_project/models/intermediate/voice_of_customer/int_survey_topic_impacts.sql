-- One row per tenant, survey and topic that a response of the survey touches: the topic's leave-one-out impact on the
-- mean sentiment of the survey, over all scored responses.
with responses as (

    select
        tenant_id,
        survey_id,
        count(overall_score) as n,
        coalesce(sum({{ exact_score('overall_score') }}), 0) as total,
        coalesce(sum({{ exact_score('overall_score * overall_score') }}), 0) as squares
    from {{ ref('int_response_scores') }}
    group by tenant_id, survey_id

),

topics as (

    select
        tenant_id,
        survey_id,
        topic_id,
        -- the topics of one survey all come from the same place
        min(topic_source) as topic_source,
        count(overall_score) as n,
        coalesce(sum({{ exact_score('overall_score') }}), 0) as total,
        coalesce(sum({{ exact_score('overall_score * overall_score') }}), 0) as squares
    from {{ ref('int_response_topics') }}
    group by tenant_id, survey_id, topic_id

)

select
    topics.tenant_id,
    topics.survey_id,
    topics.topic_id,
    topics.topic_source,
    responses.n as n_responses,
    topics.n as n_topic,
    {{ leave_one_out_impact('responses.n', 'responses.total', 'topics.n', 'topics.total') }} as impact,
    {{ impact_standard_error(
        'responses.n', 'responses.total', 'responses.squares', 'topics.n', 'topics.total', 'topics.squares'
    ) }} as standard_error,
    {{ mean_of('responses.total', 'responses.n') }} as mean_sentiment,
    {{ mean_of('(responses.total - topics.total)', '(responses.n - topics.n)') }} as mean_without_topic
from topics
inner join responses
    on
        topics.tenant_id is not distinct from responses.tenant_id
        and topics.survey_id = responses.survey_id
