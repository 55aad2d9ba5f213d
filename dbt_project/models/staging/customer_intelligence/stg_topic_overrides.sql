-- Topics that a person assigned by hand.
select
    topic_id,
    entity_id,
    score,
    assigned_at,
    _known_night as known_night
from {{ source('customer_intelligence', 'topic_overrides') }}
