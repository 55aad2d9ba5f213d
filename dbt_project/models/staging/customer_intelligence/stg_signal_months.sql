-- Months of feedback signals, with digests of their rows: all of a row, and what redacting its text depends on.
-- A table: all rows are read for it, and more than one step asks.
{{ config(materialized='table') }}

with signals as (

    select
        *,
        coalesce(cast(coalesce(occurred_at, received_at) as date), _known_night) as text_day
    from {{ source('customer_intelligence', 'customer_events') }}

)

select
    {{ month_of('text_day') }} as service_month,
    {{ rows_digest(columns_of_source('customer_intelligence', 'customer_events')) }} as digest,
    {{ rows_digest(['id', 'tenant_id', 'text_day', 'summary']) }} as text_digest,
    max({{ source_may_hold_address('customer_intelligence', 'customer_events') }}) as may_hold_address
from signals
where {{ has_month('text_day') }}
group by {{ month_of('text_day') }}
