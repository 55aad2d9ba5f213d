with

weights as (

    select * from {{ ref('executive_weights') }}

),

reported as (

    select
        latest.category,
        latest.measure,
        'kpi_readings' as source,
        latest.period_start,
        latest.value,
        previous.value as previous_value
    from {{ ref('stg_kpi_readings') }} as latest
    left join {{ ref('stg_kpi_readings') }} as previous
        on
            latest.category = previous.category
            and latest.measure = previous.measure
            and previous.periods_back = 2
    where latest.periods_back = 1

),

-- Database nodes weigh by their load.
databases as (

    select
        sum(error_rate * throughput) / nullif(sum(case when error_rate is not null then throughput end), 0)
            as error_rate,
        sum(avg_latency * throughput) / nullif(sum(case when avg_latency is not null then throughput end), 0)
            as latency_ms
    from {{ ref('database_metrics') }}

),

-- Counted, not summed: amounts of different currencies do not add up.
paid as (

    select cast(sum(case when status = 'Paid' then 1 else 0 end) as double) / nullif(count(*), 0) as invoices_paid
    from {{ ref('invoices') }}

),

support as (

    select
        csat,
        cast(avg_handle_time as double) as handle_time_ms
    from {{ ref('support_metrics') }}
    where agent_group = 'all'

),

-- Platforms weigh by their downloads.
apps as (

    select
        sum(avg_rating * downloads) / nullif(sum(case when avg_rating is not null then downloads end), 0) as rating,
        sum(crash_free_rate * downloads)
        / nullif(sum(case when crash_free_rate is not null then downloads end), 0) as crash_free_rate
    from {{ ref('appstore_metrics') }}

),

derived as (

    select
        'database_error_rate' as measure,
        'database_metrics' as source,
        error_rate as value
    from databases

    union all

    select
        'database_latency_ms' as measure,
        'database_metrics' as source,
        latency_ms as value
    from databases

    union all

    select
        'invoices_paid' as measure,
        'invoices' as source,
        invoices_paid as value
    from paid

    union all

    select
        'agent_csat' as measure,
        'support_metrics' as source,
        csat as value
    from support

    union all

    select
        'handle_time_ms' as measure,
        'support_metrics' as source,
        handle_time_ms as value
    from support

    union all

    select
        'app_rating' as measure,
        'appstore_metrics' as source,
        rating as value
    from apps

    union all

    select
        'app_crash_free_rate' as measure,
        'appstore_metrics' as source,
        crash_free_rate as value
    from apps

),

figures as (

    select
        weights.category,
        weights.measure,
        weights.source,
        weights.weight,
        weights.worst,
        weights.best,
        reported.period_start,
        coalesce(reported.value, derived.value) as value,
        reported.previous_value
    from weights
    left join reported
        on
            weights.category = reported.category
            and weights.measure = reported.measure
            and weights.source = reported.source
    left join derived
        on
            weights.measure = derived.measure
            and weights.source = derived.source

)

select
    category,
    measure,
    source,
    period_start,
    value,
    previous_value,
    worst,
    best,
    weight,
    -- greatest() leaves nulls aside in some engines, and a missing figure is not a 0.
    case
        when value is not null then 100 * least(greatest((value - worst) / nullif(best - worst, 0), 0), 1)
    end as score,
    case
        when previous_value is not null
            then 100 * least(greatest((previous_value - worst) / nullif(best - worst, 0), 0), 1)
    end as previous_score
from figures
