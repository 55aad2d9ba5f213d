-- Which topic a response touches: each once, as the loader keeps one row of a key.
select
    survey_id,
    topic_id,
    response_id,
    category,
    _known_night as known_night
from {{ source('customer_intelligence', 'survey_topics') }}
