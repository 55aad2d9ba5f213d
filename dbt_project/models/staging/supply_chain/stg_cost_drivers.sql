-- What a unit of each resource costs the platform, in US dollars, by usage day: the cost known at the end of the day,
-- else the first known later.
with

versions as (

    select
        driver_key,
        unit_cost,
        unit_label,
        _known_night as known_night,
        _ended_night as ended_night,
        row_number() over (partition by driver_key order by _known_night) as place,
        lag(_ended_night) over (partition by driver_key order by _known_night) as ended_before,
        last_value(unit_label) over (
            partition by driver_key order by _known_night
            rows between unbounded preceding and unbounded following
        ) as last_label
    from {{ source('landing', 'history_cost_drivers') }}

)

select
    driver_key,
    unit_cost,
    last_label as unit_label,
    case when place = 1 then date '0001-01-01' else coalesce(ended_before, known_night) end as used_from,
    coalesce(ended_night, date '9999-12-31') as used_to
from versions
