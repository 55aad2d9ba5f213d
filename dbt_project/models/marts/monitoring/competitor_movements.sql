with

metrics as (

    select
        competitor,
        metric_name,
        source,
        value,
        value_unit,
        delta,
        delta_unit,
        -- A percentage on a share is points; on money or a count it is relative to what was before.
        case
            when value is null or delta is null then null
            when value_unit = 'ratio' and delta_unit = 'ratio' then 'points'
            when delta_unit = 'ratio' then 'relative'
            when value_unit = delta_unit then 'absolute'
        end as delta_kind
    from {{ ref('competitor_metrics') }}

),

before as (

    select
        *,
        case
            when delta_kind in ('points', 'absolute') then value - delta
            when delta_kind = 'relative' and delta > -1
                then cast({{ money_ratio('value', '1', '(1 + delta)') }} as decimal(38, 6))
        end as previous_value
    from metrics

),

told as (

    select
        competitor,
        metric_name,
        source,
        value,
        value_unit,
        delta,
        delta_unit,
        delta_kind,
        previous_value,
        value - previous_value as change,
        case
            when delta_kind = 'relative' then cast(delta as double precision)
            else cast(delta as double precision) / nullif(abs(cast(previous_value as double precision)), 0)
        end as relative_change,
        case
            when value is null or delta is null then 'the value or its change was not sent'
            when delta_kind is null then 'value and change have units that do not go together'
            when previous_value is null then 'a fall by all of it or more has nothing before'
            when delta_kind <> 'relative' and previous_value = 0 then 'nothing before to compare with'
        end as reason
    from before

)

select
    *,
    row_number() over (partition by competitor, metric_name, source order by value, delta, delta_unit) as occurrence
from told
