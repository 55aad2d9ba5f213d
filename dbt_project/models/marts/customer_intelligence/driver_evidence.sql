-- A view: everything that it shows is published already, and put together only for who asks.
with

texts as (

    select
        response_id,
        text
    from {{ ref('survey_texts') }}

),

mentions as (

    select
        mentions.entity_id as response_id,
        mentions.topic_id,
        count(*) as n_mentions,
        {{ json_rows({
            'words': words_at('texts.text', 'mentions.match_start', 'mentions.match_end'),
            'match_start': 'mentions.match_start',
            'match_end': 'mentions.match_end',
            'alias': 'mentions.alias',
            'alias_valid_from': 'mentions.alias_valid_from',
            'is_assigned': 'mentions.is_assigned',
        }, 'mentions.match_start, mentions.alias, mentions.alias_valid_from') }} as mentions
    from {{ ref('topic_mentions') }} as mentions
    inner join texts on mentions.entity_id = texts.response_id
    where mentions.entity_type = 'survey_response'
    group by mentions.entity_id, mentions.topic_id

),

assignments as (

    select * from {{ ref('topic_assignments') }}
    where entity_type = 'survey_response'

),

touched as (

    select
        responses.tenant_id,
        responses.survey_id,
        topics.topic_id,
        responses.response_id,
        responses.customer_id,
        responses.date,
        responses.overall_score,
        responses.score_source,
        responses.text_model,
        responses.csat
    from {{ ref('response_topics') }} as topics
    inner join {{ ref('survey_sentiment') }} as responses
        on
            topics.response_id = responses.response_id
            and topics.survey_id = responses.survey_id
    where topics.topic_id is not null

),

-- The mean of all is the mean without the topic plus what each response that touches it adds: its distance from that
-- mean, shared by all responses.
weighed as (

    select
        touched.*,
        drivers.category,
        drivers.impact_score,
        (touched.overall_score - drivers.mean_without_topic) / drivers.n_responses as contribution,
        experience.impact_score as csat_impact,
        (touched.csat - experience.mean_without_topic) / experience.n_responses as csat_contribution
    from touched
    left join {{ ref('survey_drivers') }} as drivers
        on
            touched.tenant_id is not distinct from drivers.tenant_id
            and touched.survey_id = drivers.survey_id
            and touched.topic_id = drivers.topic_id
    left join {{ ref('experience_drivers') }} as experience
        on
            touched.tenant_id is not distinct from experience.tenant_id
            and touched.topic_id = experience.id

),

contributions as (

    select
        tenant_id,
        survey_id,
        topic_id,
        response_id,
        customer_id,
        date,
        category,
        overall_score,
        score_source,
        text_model,
        csat,
        case
            when overall_score is not null then
                {{ exact_part(
                    'contribution', 'impact_score',
                    ['tenant_id', 'survey_id', 'topic_id', 'overall_score is null'], 'response_id'
                ) | indent(16) }}
        end as contribution,
        case
            when csat is not null then
                {{ exact_part(
                    'csat_contribution', 'csat_impact', ['tenant_id', 'topic_id', 'csat is null'], 'response_id'
                ) | indent(16) }}
        end as csat_contribution
    from weighed

)

select
    contributions.tenant_id,
    contributions.survey_id,
    contributions.topic_id,
    contributions.response_id,
    contributions.customer_id,
    contributions.date,
    contributions.category,
    contributions.overall_score,
    contributions.contribution,
    contributions.score_source,
    contributions.text_model,
    contributions.csat,
    contributions.csat_contribution,
    assignments.assigned_by,
    coalesce(mentions.n_mentions, 0) as n_mentions,
    mentions.mentions,
    texts.text,
    {{ reasons([
        ('contributions.overall_score is null', 'the response has no score'),
        (
            'contributions.overall_score is not null and contributions.contribution is null',
            'every scored response touches the topic'
        ),
        ('contributions.csat is null', 'the response has no CSAT'),
        (
            'contributions.csat is not null and contributions.csat_contribution is null',
            'every rated response touches the topic'
        ),
        ('texts.text is null', 'the response has no text'),
        ('texts.text is not null and mentions.n_mentions is null', 'no alias of the topic stands in the text'),
    ]) }} as reason
from contributions
left join assignments
    on
        contributions.response_id = assignments.entity_id
        and contributions.topic_id = assignments.topic_id
left join mentions
    on
        contributions.response_id = mentions.response_id
        and contributions.topic_id = mentions.topic_id
left join texts on contributions.response_id = texts.response_id
