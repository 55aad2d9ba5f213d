-- Usage events as received, with the day and month they belong to and a hash of what they say.
select
    tenant_id,
    tenant_ref,
    tenant_slug,
    event_id,
    driver_key,
    coalesce(quantity, 0) as quantity,
    quantity as received_quantity,
    occurred_at,
    cast(occurred_at as date) as usage_date,
    {{ month_of('occurred_at') }} as service_month,
    received_at,
    cancels_event_id,
    _known_night as known_night,
    {{ content_hash(['driver_key', 'quantity', 'occurred_at', 'cancels_event_id']) }} as content_hash,
    _source_file as source_file,
    _source_line as source_line
from {{ source('supply_chain', 'usage_events') }}
