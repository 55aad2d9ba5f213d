-- Phrases that stand for a topic, with the days on which they count.
select
    topic_id,
    alias,
    coalesce(valid_from, cast('0001-01-01' as date)) as valid_from,
    coalesce(valid_to, cast('9999-12-31' as date)) as valid_to,
    _known_night as known_night
from {{ source('customer_intelligence', 'topic_aliases') }}
where trim(alias) <> ''
