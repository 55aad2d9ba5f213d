select
    segment_id,
    entity_type,
    entity_id,
    customer_id,
    day as date,
    score,
    joy,
    anger,
    fear
from {{ ref('int_member_sentiment') }}
