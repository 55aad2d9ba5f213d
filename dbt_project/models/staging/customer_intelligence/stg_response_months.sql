-- Months of survey responses, with digests of their rows: all of a row, and what redacting its text depends on.
-- A table: all rows are read for it, and more than one step asks.
{{ config(materialized='table') }}

with responses as (

    select
        *,
        coalesce(cast(coalesce(submitted_at, received_at) as date), _known_night) as text_day
    from {{ source('customer_intelligence', 'survey_responses') }}

)

select
    {{ month_of('text_day') }} as service_month,
    {{ rows_digest(columns_of_source('customer_intelligence', 'survey_responses')) }} as digest,
    {{ rows_digest(['response_id', 'tenant_id', 'text_day', 'text']) }} as text_digest
from responses
where {{ has_month('text_day') }}
group by {{ month_of('text_day') }}
