-- Which topic a response touched before that was taken back: once a span of nights.
select
    survey_id,
    topic_id,
    response_id,
    _known_night as known_night,
    _ended_night as ended_night
from {{ source('landing', 'history_survey_topics') }}
where _known_night < _ended_night
