with

-- The total is of all queries: a share of the slow ones alone would always look large.
queries as (

    select
        *,
        sum(cast(latency as decimal(38, 0)) * volume) over () as all_time_ms
    from {{ ref('database_query_heatmap') }}

),

slow as (

    select *
    from queries
    where lower(impact) in ('high', 'critical')

)

select
    hour,
    query_type,
    latency,
    volume,
    impact,
    latency * volume as total_time_ms,
    row_number() over (partition by hour, query_type order by latency desc, volume desc, impact asc) as occurrence,
    cast(latency as double precision) * volume / nullif(cast(all_time_ms as double precision), 0) as share_of_time
from slow
