-- Customer cohorts as the platform defines them.
select
    id as segment_id,
    name,
    size,
    primary_trait
from {{ source('strategy', 'segments') }}
