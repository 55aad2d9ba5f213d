with

answers as (

    select
        customers.tenant_id,
        cast(coalesce(answers.submitted_at, answers.received_at) as date) as date,
        answers.channel,
        coalesce(lower(answers.status) = 'submitted', false) as is_submitted,
        answers.score between 0 and 10 as is_valid,
        answers.score
    from {{ ref('nps_events') }} as answers
    left join {{ ref('customers') }} as customers on answers.customer_id = customers.id

)

select
    tenant_id,
    date,
    channel,
    cast(sum(case when is_submitted and score between 9 and 10 then 1 else 0 end) as bigint) as promoters,
    cast(sum(case when is_submitted and score between 7 and 8 then 1 else 0 end) as bigint) as passives,
    cast(sum(case when is_submitted and score between 0 and 6 then 1 else 0 end) as bigint) as detractors,
    cast(sum(case when is_submitted and is_valid then 1 else 0 end) as bigint) as n_responses,
    cast(sum(case when is_submitted then 0 else 1 end) as bigint) as n_not_submitted,
    cast(sum(case when is_submitted and (not is_valid or score is null) then 1 else 0 end) as bigint) as n_invalid
from answers
group by tenant_id, date, channel
