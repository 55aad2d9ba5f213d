with

counted as (

    select
        tenant_id,
        {{ month_of('date') }} as month,
        channel,
        cast(sum(promoters) as bigint) as promoters,
        cast(sum(passives) as bigint) as passives,
        cast(sum(detractors) as bigint) as detractors,
        cast(sum(n_responses) as bigint) as n_responses,
        cast(sum(n_not_submitted) as bigint) as n_not_submitted,
        cast(sum(n_invalid) as bigint) as n_invalid
    from {{ ref('nps_daily') }}
    group by tenant_id, {{ month_of('date') }}, channel

),

shares as (

    select
        *,
        cast(promoters - detractors as double precision) / nullif(n_responses, 0) as score,
        cast(promoters + detractors as double precision) / nullif(n_responses, 0) as share_decided,
        -- The adjusted sample: three more answers, of which 3/4 promote, 3/4 detract and 3/2 are passive.
        cast(promoters - detractors as double precision) / (n_responses + 3) as adjusted_score,
        (promoters + detractors + 1.5) / cast(n_responses + 3 as double precision) as adjusted_decided
    from counted

),

errors as (

    select
        *,
        share_decided - score * score as variance,
        {{ z95() }} * sqrt((adjusted_decided - adjusted_score * adjusted_score) / (n_responses + 3)) as margin
    from shares

)

select
    tenant_id,
    month,
    channel,
    promoters,
    passives,
    detractors,
    100 * score as nps,
    -- Without an answer there is no interval; with very few of one kind it is stretched to hold the score.
    case when n_responses > 0 then 100 * greatest(least(adjusted_score - margin, score), -1) end as nps_low,
    case when n_responses > 0 then 100 * least(greatest(adjusted_score + margin, score), 1) end as nps_high,
    n_responses,
    variance as nps_variance,
    n_not_submitted,
    n_invalid,
    case when n_responses = 0 then 'no submitted score from 0 to 10' end as reason
from errors
