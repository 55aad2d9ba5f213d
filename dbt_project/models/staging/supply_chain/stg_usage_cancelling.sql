-- The accepted usage events that cancel another, and those with an id that one of them names.
select
    tenant_id,
    tenant_slug,
    event_id,
    driver_key,
    coalesce(quantity, 0) as quantity,
    cast(occurred_at as date) as usage_date,
    service_month,
    received_at,
    cancels_event_id,
    known_night,
    {{ content_hash(['driver_key', 'quantity', 'occurred_at', 'cancels_event_id']) }} as content_hash
from {{ source('landing', 'usage_cancelling') }}
