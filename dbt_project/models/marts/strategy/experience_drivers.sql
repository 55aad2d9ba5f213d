with drivers as (

    select * from {{ ref('driver_history') }}
    where month = {{ month_of(night()) }}

),

trends as (

    select * from {{ ref('int_tenant_topic_trends') }}

)

select
    drivers.id,
    drivers.topic,
    drivers.impact_score,
    drivers.sentiment,
    drivers.category,
    drivers.tenant_id,
    drivers.n_responses,
    drivers.n_topic,
    drivers.mean_csat,
    drivers.mean_without_topic,
    drivers.impact_low,
    drivers.impact_high,
    {{ trend_label('trends.n_periods', 'trends.mann_kendall_z') }} as trend,
    coalesce(trends.n_periods, 0) as n_weeks,
    trends.mann_kendall_z as trend_z,
    {{ normal_two_sided_p('trends.mann_kendall_z') }} as trend_p,
    trends.sen_slope as trend_slope,
    {{ reasons([
        ('drivers.n_topic = 0', 'no rated response touches the topic any more'),
        ('drivers.n_topic > 0 and drivers.impact_score is null', 'every rated response touches the topic'),
        ('drivers.impact_score is not null and drivers.impact_low is null', 'too few responses for an interval'),
        ('coalesce(trends.n_periods, 0) < 2', 'fewer than two weeks to compare'),
    ]) }} as reason
from drivers
left join trends
    on
        drivers.tenant_id is not distinct from trends.tenant_id
        and drivers.id = trends.topic_id
