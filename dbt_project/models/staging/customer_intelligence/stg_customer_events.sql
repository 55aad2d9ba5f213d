-- Feedback signals with their UTC day, and scores outside their scale taken for missing.
select
    id as event_id,
    tenant_id,
    event_type,
    customer_id,
    product_id,
    coalesce(occurred_at, received_at) as occurred_at,
    cast(coalesce(occurred_at, received_at) as date) as occurred_on,
    case when sentiment_score between -1 and 1 then sentiment_score end as sentiment_score,
    summary as raw_text,
    _known_night as known_night
from {{ source('customer_intelligence', 'customer_events') }}
