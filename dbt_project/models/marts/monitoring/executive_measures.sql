with

-- The platform (tenant_id null) and every tenant.
subjects as (

    select
        cast(null as {{ dbt.type_string() }}) as tenant_id,
        'platform' as scope

    union all

    select
        id as tenant_id,
        'tenant' as scope
    from {{ ref('tenants') }}

),

weights as (

    select
        subjects.tenant_id,
        subjects.scope,
        weights.category,
        weights.measure,
        weights.source,
        weights.weight,
        weights.worst,
        weights.best
    from subjects
    inner join {{ ref('executive_weights') }} as weights
        on weights.scope in (subjects.scope, 'both')

),

-- Counted, not summed: amounts of different currencies do not add up.
paid as (

    select
        tenant_id,
        count(*) as n,
        cast(sum(case when status = 'Paid' then 1 else 0 end) as double precision) / nullif(count(*), 0) as value
    from {{ ref('invoices') }}
    group by tenant_id

),

paid_of_all as (

    select
        cast(sum(n) as bigint) as n,
        cast(round(sum(n * value)) as double precision) / nullif(cast(sum(n) as double precision), 0) as value
    from paid

),

-- Parts weigh by what they are the mean of: see the mart rollups.
means as (

    select
        figure,
        weighted_mean,
        parts_used
    from {{ ref('rollups') }}

),

derived as (

    select
        cast(null as {{ dbt.type_string() }}) as tenant_id,
        {{ executive_measure_of('figure') }} as measure,
        weighted_mean as value,
        parts_used as n
    from means

    union all

    select
        cast(null as {{ dbt.type_string() }}) as tenant_id,
        'invoices_paid' as measure,
        value,
        n
    from paid_of_all

    union all

    select
        tenant_id,
        'invoices_paid' as measure,
        value,
        n
    from paid

),

figures as (

    select
        weights.category,
        weights.measure,
        weights.source,
        latest.period_start,
        coalesce(latest.value, derived.value) as value,
        previous.value as previous_value,
        weights.worst,
        weights.best,
        weights.weight,
        weights.tenant_id,
        weights.scope,
        case when latest.value is not null then latest.n else derived.n end as n
    from weights
    left join {{ ref('int_executive_readings') }} as latest
        on
            weights.tenant_id is not distinct from latest.tenant_id
            and weights.category = latest.category
            and weights.measure = latest.measure
            and weights.source = latest.source
            and latest.periods_back = 1
    left join {{ ref('int_executive_readings') }} as previous
        on
            weights.tenant_id is not distinct from previous.tenant_id
            and weights.category = previous.category
            and weights.measure = previous.measure
            and weights.source = previous.source
            and previous.periods_back = 2
    left join derived
        on
            weights.tenant_id is not distinct from derived.tenant_id
            and weights.measure = derived.measure

),

scored as (

    select
        *,
        {{ scaled_score('value', 'worst', 'best') }} as score,
        {{ scaled_score('previous_value', 'worst', 'best') }} as previous_score
    from figures

),

-- The score of a category as executive_config shows it, before rounding.
totals as (

    select
        tenant_id,
        category,
        sum(cast(weight as decimal(19, 6))) as weights,
        {{ mean_of(
            'sum(cast(score as decimal(18, 9)) * cast(weight as decimal(19, 6)))', 'sum(cast(weight as decimal(19, 6)))'
        ) }} as score
    from scored
    where score is not null
    group by tenant_id, category

)

select
    scored.category,
    scored.measure,
    scored.source,
    scored.period_start,
    scored.value,
    scored.previous_value,
    scored.worst,
    scored.best,
    scored.weight,
    scored.score,
    scored.previous_score,
    scored.tenant_id,
    scored.scope,
    scored.n,
    case
        when scored.value is null then 'no figure was sent or can be computed'
        when scored.previous_value is null then 'no period before to compare with'
    end as reason,
    case
        when scored.score is not null then
            {{ exact_part(
                'scored.score * scored.weight / cast(totals.weights as double precision)', 'totals.score',
                ['scored.tenant_id', 'scored.category', 'scored.score is null'], 'scored.measure'
            ) | indent(12) }}
    end as contribution
from scored
left join totals
    on
        scored.category = totals.category
        and scored.tenant_id is not distinct from totals.tenant_id
