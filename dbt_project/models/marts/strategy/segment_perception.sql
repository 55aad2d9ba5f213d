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
        cast(sum(case when {{ sentiment_label('score') }} = 'positive' then 1 else 0 end) as bigint) as n_positive,
        cast(sum(case when {{ sentiment_label('score') }} = 'negative' then 1 else 0 end) as bigint) as n_negative,
        count(joy) as n_joy,
        coalesce(sum({{ exact_score('joy') }}), 0) as total_joy,
        coalesce(sum({{ exact_score('joy * joy') }}), 0) as squares_joy,
        count(anger) as n_anger,
        coalesce(sum({{ exact_score('anger') }}), 0) as total_anger,
        coalesce(sum({{ exact_score('anger * anger') }}), 0) as squares_anger,
        count(fear) as n_fear,
        coalesce(sum({{ exact_score('fear') }}), 0) as total_fear,
        coalesce(sum({{ exact_score('fear * fear') }}), 0) as squares_fear
    from {{ ref('int_member_sentiment') }}
    group by segment_id

),

traits as (

    select * from {{ ref('int_segment_traits') }}
    where place = 1

),

topics as (

    select * from {{ ref('stg_taxonomy_topics') }}

),

-- adjusted Wald: three pieces of feedback are added, one half of them neutral, a quarter each positive and negative
adjusted as (

    select
        *,
        cast(n_positive - n_negative as double precision) / (n + 3) as centre,
        (n_positive + n_negative + 1.5) / (n + 3) as decided
    from feedback

),

widths as (

    select
        *,
        100 * centre as adjusted_net,
        100 * {{ z95() }} * sqrt((decided - centre * centre) / (n + 3)) as margin,
        round(100.0 * (n_positive - n_negative) / cast(n as double precision), 12) as net_sentiment
    from adjusted

)

select
    segments.segment_id,
    segments.name,
    segments.size,
    segments.primary_trait,
    coalesce(members.n_members, 0) as n_members,
    coalesce(widths.n, 0) as n_feedback,
    coalesce(widths.n_customers, 0) as n_customers,
    coalesce(widths.n_positive, 0) as n_positive,
    coalesce(widths.n_negative, 0) as n_negative,
    widths.net_sentiment,
    -- the interval is drawn towards 0, so that it could miss a figure at the end of the scale
    case
        when widths.n is not null
            then greatest(least(widths.adjusted_net - widths.margin, widths.net_sentiment), -100)
    end as net_sentiment_low,
    case
        when widths.n is not null
            then least(greatest(widths.adjusted_net + widths.margin, widths.net_sentiment), 100)
    end as net_sentiment_high,
    coalesce(widths.n_joy, 0) as n_emotions,
    {{ mean_of('widths.total_joy', 'widths.n_joy') }} as joy,
    {{ mean_of('widths.total_anger', 'widths.n_anger') }} as anger,
    {{ mean_of('widths.total_fear', 'widths.n_fear') }} as fear,
    {{ standard_error('widths.n_joy', 'widths.total_joy', 'widths.squares_joy') }} as joy_standard_error,
    {{ standard_error('widths.n_anger', 'widths.total_anger', 'widths.squares_anger') }} as anger_standard_error,
    {{ standard_error('widths.n_fear', 'widths.total_fear', 'widths.squares_fear') }} as fear_standard_error,
    traits.topic_id as lift_topic_id,
    coalesce(topics.label, traits.topic_id) as lift_trait,
    traits.lift,
    traits.lift_low,
    traits.lift_high,
    traits.n_texts as n_lift,
    {{ reasons([
        ('widths.n is null', 'no scored feedback from a member'),
        ('widths.n is not null and widths.n_joy = 0', 'no emotions in the feedback of members'),
        ('widths.n_joy = 1', 'one emotion score has no standard error'),
        ('widths.n is not null and traits.lift is null', 'no topic in five texts of members'),
    ]) }} as reason
from segments
left join members on segments.segment_id = members.segment_id
left join widths on segments.segment_id = widths.segment_id
left join traits on segments.segment_id = traits.segment_id
left join topics on traits.topic_id = topics.topic_id
