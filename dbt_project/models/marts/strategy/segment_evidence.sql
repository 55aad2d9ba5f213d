-- A view: everything that it shows is published already, and put together only for who asks.
with

texts as (

    select
        'survey_response' as entity_type,
        response_id as entity_id,
        text
    from {{ ref('survey_texts') }}

    union all

    select
        'customer_event' as entity_type,
        id as entity_id,
        summary as text
    from {{ ref('customer_events') }}

),

topics as (

    select
        assignments.entity_type,
        assignments.entity_id,
        count(*) as n_topics,
        {{ json_rows({
            'topic_id': 'assignments.topic_id',
            'topic': 'coalesce(taxonomy.label, assignments.topic_id)',
            'assigned_by': 'assignments.assigned_by',
            'words': words_at('texts.text', 'assignments.match_start', 'assignments.match_end'),
            'match_start': 'assignments.match_start',
            'match_end': 'assignments.match_end',
            'alias': 'assignments.matched_alias',
            'alias_valid_from': 'assignments.alias_valid_from',
        }, 'assignments.match_start, assignments.topic_id') }} as topics
    from {{ ref('topic_assignments') }} as assignments
    left join {{ ref('taxonomy_topics') }} as taxonomy on assignments.topic_id = taxonomy.id
    left join texts
        on
            assignments.entity_type = texts.entity_type
            and assignments.entity_id = texts.entity_id
    group by assignments.entity_type, assignments.entity_id

),

labelled as (

    select
        *,
        {{ sentiment_label('score') }} as sentiment
    from {{ ref('segment_feedback') }}

),

contributions as (

    select
        labelled.*,
        {{ exact_part(
            "100.0 * case labelled.sentiment when 'positive' then 1 when 'negative' then -1 else 0 end"
            ~ ' / cast(segments.n_feedback as double precision)',
            'segments.net_sentiment', ['labelled.segment_id'], 'labelled.entity_type, labelled.entity_id'
        ) | indent(8) }} as contribution
    from labelled
    left join {{ ref('segment_perception') }} as segments on labelled.segment_id = segments.segment_id

)

select
    contributions.segment_id,
    contributions.entity_type,
    contributions.entity_id,
    contributions.customer_id,
    contributions.date,
    contributions.score,
    contributions.sentiment,
    contributions.contribution,
    contributions.joy,
    contributions.anger,
    contributions.fear,
    case
        when contributions.entity_type = 'customer_event' then 'platform'
        else responses.score_source
    end as score_source,
    responses.text_model,
    coalesce(topics.n_topics, 0) as n_topics,
    topics.topics,
    texts.text
from contributions
left join {{ ref('survey_sentiment') }} as responses
    on
        contributions.entity_type = 'survey_response'
        and contributions.entity_id = responses.response_id
left join topics
    on
        contributions.entity_type = topics.entity_type
        and contributions.entity_id = topics.entity_id
left join texts
    on
        contributions.entity_type = texts.entity_type
        and contributions.entity_id = texts.entity_id
