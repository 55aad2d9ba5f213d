-- Which topic a response touches, each once.
select
    survey_id,
    topic_id,
    response_id,
    min(category) as category,
    min(_known_night) as known_night
from {{ source('customer_intelligence', 'survey_topics') }}
where response_id is not null and topic_id is not null
group by survey_id, topic_id, response_id
