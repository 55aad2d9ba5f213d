-- The figures of the executive view that have a history, by month: those that other systems report, and what customers
-- told a tenant in the months that have ended.
with

told as (

    select
        tenant_id,
        'survey_csat' as measure,
        'survey_responses' as source,
        {{ month_of('occurred_at') }} as period_start,
        figure
    from {{ ref('int_feedback_scores') }}
    where tenant_id is not null and component = 'csat' and occurred_at is not null

    union all

    select
        tenant_id,
        'signal_sentiment' as measure,
        'customer_events' as source,
        {{ month_of('occurred_at') }} as period_start,
        figure
    from {{ ref('int_feedback_scores') }}
    where tenant_id is not null and entity_type = 'customer_event' and occurred_at is not null

),

months as (

    select
        tenant_id,
        measure,
        source,
        period_start,
        {{ mean_of('sum(' ~ exact_score('figure') ~ ')', 'count(*)') }} as value,
        count(*) as n
    from told
    where {{ next_month_of('period_start') }} <= {{ dbt.dateadd('day', 1, night()) }}
    group by tenant_id, measure, source, period_start

),

readings as (

    select
        tenant_id,
        category,
        measure,
        'kpi_readings' as source,
        period_start,
        value,
        cast(null as bigint) as n
    from {{ ref('stg_kpi_readings') }}

    union all

    select
        months.tenant_id,
        weights.category,
        months.measure,
        months.source,
        months.period_start,
        months.value,
        months.n
    from months
    inner join {{ ref('executive_weights') }} as weights
        on
            months.measure = weights.measure
            and months.source = weights.source

)

select
    tenant_id,
    category,
    measure,
    source,
    period_start,
    value,
    n,
    row_number() over (partition by tenant_id, category, measure, source order by period_start desc) as periods_back
from readings
