with segments as (

    select * from {{ ref('stg_segments') }}

),

members as (

    select
        segment_id,
        count(distinct customer_id) as n_members
    from {{ ref('stg_segment_members') }}
    where valid_from <= {{ night() }} and valid_to > {{ night() }}
    group by segment_id

),

feedback as (

    select
        segment_id,
        count(*) as n,
        count(distinct customer_id) as n_customers,
        sum(case when {{ sentiment_label('score') }} = 'positive' then 1 else 0 end) as n_positive,
        sum(case when {{ sentiment_label('score') }} = 'negative' then 1 else 0 end) as n_negative,
        {{ mean_of('sum(' ~ exact_score('joy') ~ ')', 'count(joy)') }} as joy,
        {{ mean_of('sum(' ~ exact_score('anger') ~ ')', 'count(anger)') }} as anger,
        {{ mean_of('sum(' ~ exact_score('fear') ~ ')', 'count(fear)') }} as fear
    from {{ ref('int_member_sentiment') }}
    group by segment_id

)

select
    segments.segment_id,
    segments.name,
    segments.size,
    segments.primary_trait,
    coalesce(members.n_members, 0) as n_members,
    coalesce(feedback.n, 0) as n_feedback,
    coalesce(feedback.n_customers, 0) as n_customers,
    cast(coalesce(feedback.n_positive, 0) as bigint) as n_positive,
    cast(coalesce(feedback.n_negative, 0) as bigint) as n_negative,
    round(100.0 * (feedback.n_positive - feedback.n_negative) / cast(feedback.n as double precision), 12)
        as net_sentiment,
    feedback.joy,
    feedback.anger,
    feedback.fear,
    case when feedback.n is null then 'no scored feedback from a member' end as reason
from segments
left join members on segments.segment_id = members.segment_id
left join feedback on segments.segment_id = feedback.segment_id
