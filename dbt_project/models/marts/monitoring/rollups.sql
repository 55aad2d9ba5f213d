-- Each mean over its parts, weighted by what the parts are the mean of; beside it the plain mean that one would be
-- tempted to take.
with

usable as (

    {{ rollup_parts() | indent(4) }}

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
