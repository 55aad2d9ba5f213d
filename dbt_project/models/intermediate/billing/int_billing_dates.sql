-- One row an invoice date: each first of a month from the first subscription to the night.
with recursive invoice_dates as (

    select {{ month_of('min(started_on)') }} as invoice_date
    from {{ ref('int_subscriptions_accepted') }}
    having min(started_on) <= {{ night() }}

    union all

    select {{ next_month_of('invoice_date') }} as invoice_date
    from invoice_dates
    where {{ next_month_of('invoice_date') }} <= {{ night() }}

)

select invoice_date
from invoice_dates
