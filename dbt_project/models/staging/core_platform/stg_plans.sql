-- Plans as each invoice date knew them, with the monthly price in US dollars: what a plan costs where no price book
-- prices it.
with

plans as (

    select
        name as plan,
        price_monthly,
        {{ closing_of('_known_night') }} as known_close,
        {{ closing_of_end('_ended_night') }} as ended_close
    from {{ source('landing', 'history_plans') }}

)

select *
from plans
where known_close < ended_close
