{#-
    The parts of the figures that are means of parts, each with what it is the mean of. What belongs here: which parts a figure has
    and what they weigh by. What does not: the means themselves (the mart rollups).
-#}

{#-
    A query with one row a figure and part. Columns: figure, source_table, weighted_by (the column that parts weigh by), part
    (its name), value and weight: decimals, both null for a part that has no say. A sum of decimals does not depend on the
    order of the rows.
-#}
{% macro rollup_parts() -%}
select
    figure,
    source_table,
    weighted_by,
    part,
    case when weight > 0 and weight < 1e11 and abs(value) < 1e9 then cast(value as decimal(19, 9)) end as value,
    case when weight > 0 and weight < 1e11 and abs(value) < 1e9 then cast(weight as decimal(19, 6)) end as weight
from (
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
) as parts
{%- endmacro %}
