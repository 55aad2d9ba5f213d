with impacts as (

    select * from {{ ref('int_survey_topic_impacts') }}

),

shares as (

    select * from {{ ref('int_survey_topic_shares') }}

),

topics as (

    select * from {{ ref('stg_taxonomy_topics') }}

),

spreads as (

    select
        tenant_id,
        survey_id,
        max({{ exact_score('overall_score') }}) - min({{ exact_score('overall_score') }}) as spread
    from {{ ref('int_response_scores') }}
    group by tenant_id, survey_id

),

ranked as (

    select
        shares.*,
        impacts.impact,
        impacts.n_responses,
        impacts.n_topic,
        -- what differs by rounding alone does not differ
        rank() over (with_or_without_share order by round(abs(impacts.impact), 9) desc) as impact_rank,
        rank() over (with_or_without_share order by round(shares.lmg, 9) desc) as lmg_rank,
        rank() over (with_or_without_share order by round(shares.johnson, 9) desc) as johnson_rank
    from shares
    inner join impacts
        on
            shares.tenant_id is not distinct from impacts.tenant_id
            and shares.survey_id = impacts.survey_id
            and shares.topic_id = impacts.topic_id
    window with_or_without_share as (
        partition by shares.tenant_id, shares.survey_id, case when shares.lmg is null then 1 else 0 end
    )

)

select
    ranked.tenant_id,
    ranked.survey_id,
    ranked.topic_id,
    coalesce(topics.label, ranked.topic_id) as topic,
    ranked.n_responses,
    ranked.n_topic,
    ranked.r2,
    ranked.lmg,
    case when ranked.lmg_margin is not null then greatest(ranked.lmg - ranked.lmg_margin, 0) end as lmg_low,
    case when ranked.lmg_margin is not null then least(ranked.lmg + ranked.lmg_margin, 1) end as lmg_high,
    ranked.johnson,
    case when ranked.johnson_margin is not null then greatest(ranked.johnson - ranked.johnson_margin, 0) end
        as johnson_low,
    case when ranked.johnson_margin is not null then least(ranked.johnson + ranked.johnson_margin, 1) end
        as johnson_high,
    case when ranked.lmg is not null then ranked.impact_rank end as impact_rank,
    case when ranked.lmg is not null then ranked.lmg_rank end as lmg_rank,
    case when ranked.lmg is not null then ranked.johnson_rank end as johnson_rank,
    case
        when ranked.lmg is not null
            then ranked.impact_rank <> ranked.lmg_rank or ranked.lmg_rank <> ranked.johnson_rank
    end as orders_disagree,
    ranked.is_collinear,
    ranked.is_exact,
    {{ reasons([
        ('ranked.n_topic = 0', 'no scored response touches the topic'),
        ('ranked.n_topic > 0 and ranked.impact is null', 'every scored response touches the topic'),
        ('ranked.lmg is null and spreads.spread = 0', 'all scores are equal'),
        (
            'ranked.lmg is null and ranked.n_topic > 0 and ranked.impact is not null and spreads.spread > 0',
            'too few responses for so many topics'
        ),
        ('ranked.lmg is not null and ranked.lmg_margin is null', 'too few responses for an interval'),
    ]) }} as reason
from ranked
left join spreads
    on
        ranked.tenant_id is not distinct from spreads.tenant_id
        and ranked.survey_id = spreads.survey_id
left join topics on ranked.topic_id = topics.topic_id
