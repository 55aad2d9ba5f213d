-- The score of a category in each period, by the measures that have a reading in it: what its trend is taken from.
with

scored as (

    select
        readings.tenant_id,
        readings.category,
        readings.period_start,
        weights.weight,
        {{ scaled_score('readings.value', 'weights.worst', 'weights.best') }} as score
    from {{ ref('int_executive_readings') }} as readings
    inner join {{ ref('executive_weights') }} as weights
        on
            readings.category = weights.category
            and readings.measure = weights.measure
            and readings.source = weights.source

),

totals as (

    select
        tenant_id,
        category,
        period_start,
        sum(cast(score as decimal(18, 9)) * cast(weight as decimal(19, 6))) as total,
        sum(cast(weight as decimal(19, 6))) as weights
    from scored
    where score is not null
    group by tenant_id, category, period_start

)

select
    tenant_id,
    category,
    period_start,
    {{ mean_of('total', 'weights') }} as score
from totals
