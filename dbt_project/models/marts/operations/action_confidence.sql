with

actions as (

    select
        customers.tenant_id,
        coalesce(lower(actions.impact), 'unknown') as impact,
        cast(case when actions.confidence between 0 and 1 then actions.confidence end as decimal(18, 9)) as confidence
    from {{ ref('next_best_actions') }} as actions
    left join {{ ref('customers') }} as customers on actions.entity_id = customers.id

),

sums as (

    select
        tenant_id,
        impact,
        count(*) as actions,
        count(confidence) as n_confidence,
        sum(confidence) as total,
        sum(confidence * confidence) as squares,
        cast(min(confidence) as double precision) as lowest_confidence,
        cast(max(confidence) as double precision) as highest_confidence
    from actions
    group by tenant_id, impact

),

means as (

    select
        *,
        {{ mean_of('total', 'n_confidence') }} as mean_confidence,
        sqrt(({{ sample_variance('n_confidence', 'total', 'squares') }}) / nullif(n_confidence, 0)) as standard_error
    from sums

)

select
    tenant_id,
    impact,
    actions,
    n_confidence,
    mean_confidence,
    {{ clamped('mean_confidence - ' ~ z95() ~ ' * standard_error', 0, 1) }} as confidence_low,
    {{ clamped('mean_confidence + ' ~ z95() ~ ' * standard_error', 0, 1) }} as confidence_high,
    lowest_confidence,
    highest_confidence,
    cast(total as double precision) as expected_right,
    case
        when n_confidence = 0 then 'no suggestion tells a confidence from 0 to 1'
        when n_confidence = 1 then 'one suggestion: no interval'
    end as reason
from means
