-- Steps that customers took on journeys, in the order in which they took them.
select
    journey_id,
    customer_id,
    step,
    occurred_at,
    row_number() over (partition by journey_id, customer_id order by occurred_at, step) as place
from {{ source('strategy', 'journey_events') }}
