with impacts as (

    select * from {{ ref('int_survey_topic_impacts') }}

),

trends as (

    select * from {{ ref('int_survey_topic_trends') }}

),

topics as (

    select * from {{ ref('stg_taxonomy_topics') }}

),

categories as (

    {{ most_common(ref('int_response_topics'), ['tenant_id', 'survey_id', 'topic_id'], 'category') | indent(4) }}

)

select
    coalesce(topics.label, impacts.topic_id) as topic,
    case when impacts.n_topic > 0 then impacts.impact end as impact_score,
    {{ trend_label('trends.n_periods', 'trends.mann_kendall_z') }} as trend,
    categories.category,
    impacts.tenant_id,
    impacts.survey_id,
    impacts.topic_id,
    impacts.n_responses,
    impacts.n_topic,
    impacts.mean_sentiment,
    impacts.mean_without_topic,
    impacts.impact - {{ z95() }} * impacts.standard_error as impact_low,
    impacts.impact + {{ z95() }} * impacts.standard_error as impact_high,
    coalesce(trends.n_periods, 0) as n_weeks,
    trends.mann_kendall_z as trend_z,
    {{ normal_two_sided_p('trends.mann_kendall_z') }} as trend_p,
    trends.sen_slope as trend_slope,
    impacts.topic_source,
    {{ reasons([
        ('impacts.n_topic = 0', 'no scored response touches the topic'),
        ('impacts.n_topic > 0 and impacts.impact is null', 'every scored response touches the topic'),
        (
            'impacts.n_topic > 0 and impacts.impact is not null and impacts.standard_error is null',
            'too few responses for an interval'
        ),
        ('coalesce(trends.n_periods, 0) < 2', 'fewer than two weeks to compare'),
    ]) }} as reason
from impacts
left join trends
    on
        impacts.tenant_id is not distinct from trends.tenant_id
        and impacts.survey_id = trends.survey_id
        and impacts.topic_id = trends.topic_id
left join topics on impacts.topic_id = topics.topic_id
left join categories
    on
        impacts.tenant_id is not distinct from categories.tenant_id
        and impacts.survey_id = categories.survey_id
        and impacts.topic_id = categories.topic_id
