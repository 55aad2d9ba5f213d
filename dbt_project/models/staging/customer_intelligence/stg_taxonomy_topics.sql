-- Topics with a name to show and a weight to multiply by.
select
    id as topic_id,
    coalesce(label, id) as label,
    parent_id,
    -- a topic without a usable weight counts like a normal one
    case when weight > 0 then weight else 1 end as weight
from {{ source('customer_intelligence', 'taxonomy_topics') }}
