with

answers as (

    select
        customers.tenant_id,
        {{ month_of('coalesce(answers.submitted_at, answers.received_at)') }} as month,
        answers.channel,
        coalesce(lower(answers.status) = 'submitted', false) as is_submitted,
        answers.score between 0 and 10 as is_valid,
        answers.score
    from {{ ref('nps_events') }} as answers
    left join {{ ref('customers') }} as customers on answers.customer_id = customers.id

),

counted as (

    select
        tenant_id,
        month,
        channel,
        cast(sum(case when is_submitted and is_valid then 1 else 0 end) as bigint) as n_responses,
        cast(sum(case when is_submitted and score between 9 and 10 then 1 else 0 end) as bigint) as promoters,
        cast(sum(case when is_submitted and score between 7 and 8 then 1 else 0 end) as bigint) as passives,
        cast(sum(case when is_submitted and score between 0 and 6 then 1 else 0 end) as bigint) as detractors,
        cast(sum(case when is_submitted then 0 else 1 end) as bigint) as n_not_submitted,
        cast(sum(case when is_submitted and (not is_valid or score is null) then 1 else 0 end) as bigint) as n_invalid
    from answers
    group by tenant_id, month, channel

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
