{{ config(**by_service_month('int_member_months', 'date')) }}

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
where {{ is_to_be_made('int_member_months', 'day') }}
