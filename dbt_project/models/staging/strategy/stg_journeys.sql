-- Journeys as the platform defines them.
select
    id,
    steps_count,
    case when success_rate between 0 and 1 then success_rate end as success_rate
from {{ source('strategy', 'journeys') }}
