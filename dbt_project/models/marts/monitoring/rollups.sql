-- Each mean over its parts, weighted by what the parts are the mean of; beside it the plain mean that one would be
-- tempted to take.
with

parts as (

    select
        'csat' as figure,
        'support_agent_performance' as source_table,
        'volume' as weighted_by,
        agent_name as part,
        case when csat between 1 and 5 then csat end as value,
        cast(volume as double precision) as weight
    from {{ ref('support_agent_performance') }}

    union all

    select
        'avg_handle_time' as figure,
        'support_agent_performance' as source_table,
        'volume' as weighted_by,
        agent_name as part,
        cast(avg_handle_time as double precision) as value,
        cast(volume as double precision) as weight
    from {{ ref('support_agent_performance') }}

    union all

    select
        'avg_rating' as figure,
        'appstore_metrics' as source_table,
        'downloads' as weighted_by,
        platform as part,
        avg_rating as value,
        cast(downloads as double precision) as weight
    from {{ ref('appstore_metrics') }}

    union all

    select
        'crash_free_rate' as figure,
        'appstore_metrics' as source_table,
        'downloads' as weighted_by,
        platform as part,
        crash_free_rate as value,
        cast(downloads as double precision) as weight
    from {{ ref('appstore_metrics') }}

    union all

    select
        'error_rate' as figure,
        'database_metrics' as source_table,
        'throughput' as weighted_by,
        integration_id as part,
        case when error_rate between 0 and 1 then error_rate end as value,
        cast(throughput as double precision) as weight
    from {{ ref('database_metrics') }}

    union all

    select
        'avg_latency' as figure,
        'database_metrics' as source_table,
        'throughput' as weighted_by,
        integration_id as part,
        cast(avg_latency as double precision) as value,
        cast(throughput as double precision) as weight
    from {{ ref('database_metrics') }}

),

-- Decimals: a sum of them does not depend on the order of the rows.
usable as (

    select
        figure,
        source_table,
        weighted_by,
        case when weight > 0 and weight < 1e11 and abs(value) < 1e9 then cast(value as decimal(19, 9)) end as value,
        case when weight > 0 and weight < 1e11 and abs(value) < 1e9 then cast(weight as decimal(19, 6)) end as weight
    from parts

),

sums as (

    select
        figure,
        source_table,
        weighted_by,
        count(*) as parts,
        count(value) as parts_used,
        cast(sum(weight) as double precision) as total_weight,
        cast(sum(value * weight) as double precision) / nullif(cast(sum(weight) as double precision), 0)
            as weighted_mean,
        cast(sum(value) as double precision) / nullif(count(value), 0) as plain_mean,
        cast(min(value) as double precision) as lowest,
        cast(max(value) as double precision) as highest
    from usable
    group by figure, source_table, weighted_by

)

select
    figure,
    source_table,
    weighted_by,
    parts,
    parts_used,
    total_weight,
    weighted_mean,
    plain_mean,
    plain_mean - weighted_mean as difference,
    lowest,
    highest,
    case when parts_used = 0 then 'no part has both a figure and a weight' end as reason
from sums
