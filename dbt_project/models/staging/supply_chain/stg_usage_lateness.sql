-- Accepted usage events and their quantities by service month and the minutes that they took to arrive.
select
    service_month,
    is_cancellation,
    minutes_late,
    quantity,
    events
from {{ source('landing', 'usage_lateness') }}
