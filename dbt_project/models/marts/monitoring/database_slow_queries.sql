with

slow as (

    select *
    from {{ ref('database_query_heatmap') }}
    where lower(impact) in ('high', 'critical')

)

select
    hour,
    query_type,
    latency,
    volume,
    impact,
    latency * volume as total_time_ms,
    row_number() over (partition by hour, query_type order by latency desc, volume desc, impact) as occurrence
from slow
