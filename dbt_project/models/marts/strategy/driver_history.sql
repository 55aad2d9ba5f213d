with impacts as (

    select * from {{ ref('int_tenant_topic_months') }}

),

topics as (

    select * from {{ ref('stg_taxonomy_topics') }}

),

rated as (

    select * from {{ ref('int_response_topics') }}
    where csat is not null

),

categories as (

    {{ most_common('rated', ['tenant_id', 'topic_id'], 'category') | indent(4) }}

)

select
    impacts.topic_id as id,
    coalesce(topics.label, impacts.topic_id) as topic,
    impacts.impact as impact_score,
    case
        when impacts.impact > 0 then 'positive'
        when impacts.impact < 0 then 'negative'
        when impacts.impact = 0 then 'neutral'
    end as sentiment,
    categories.category,
    impacts.month,
    least(cast({{ dbt.dateadd('day', -1, next_month_of('impacts.month')) }} as date), {{ night() }}) as as_of,
    cast({{ dbt.dateadd('day', -1, next_month_of('impacts.month')) }} as date) <= {{ night() }} as is_final,
    impacts.tenant_id,
    impacts.n_responses,
    impacts.n_topic,
    impacts.mean_csat,
    impacts.mean_without_topic,
    impacts.impact - {{ z95() }} * impacts.standard_error as impact_low,
    impacts.impact + {{ z95() }} * impacts.standard_error as impact_high,
    case
        when impacts.n_topic = 0 then 'no rated response touches the topic any more'
        when impacts.impact is null then 'every rated response touches the topic'
        when impacts.standard_error is null then 'too few responses for an interval'
    end as reason
from impacts
left join topics on impacts.topic_id = topics.topic_id
left join categories
    on
        impacts.tenant_id is not distinct from categories.tenant_id
        and impacts.topic_id = categories.topic_id
