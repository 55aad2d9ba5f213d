-- Which customer belongs to which segment, and on which days.
select
    segment_id,
    customer_id,
    coalesce(valid_from, cast('0001-01-01' as date)) as valid_from,
    coalesce(valid_to, cast('9999-12-31' as date)) as valid_to
from {{ source('strategy', 'segment_members') }}
