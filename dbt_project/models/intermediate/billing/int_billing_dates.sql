-- One row an invoice date: each first of a month from the first subscription to the night, and the next one, which only
-- drafts have.
with recursive invoice_dates as (

    select {{ month_of('min(started_on)') }} as invoice_date
    from {{ ref('int_subscription_states') }}
    having {{ month_of("min(started_on)") }} <= {{ draft_date() }}

    union all

    select {{ next_month_of('invoice_date') }} as invoice_date
    from invoice_dates
    where {{ next_month_of('invoice_date') }} <= {{ draft_date() }}

)

select
    invoice_date,
    invoice_date > {{ night() }} as is_draft
from invoice_dates
