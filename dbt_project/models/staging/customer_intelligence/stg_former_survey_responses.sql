-- What responses said before they were corrected, withdrawn or held back: once a version that no longer counts.
select
    response_id,
    -- tells the versions of a response apart
    response_id || ' ' || cast(_known_night as {{ dbt.type_string() }}) as former_id,
    survey_id,
    tenant_id,
    cast(coalesce(submitted_at, received_at) as date) as submitted_on,
    case when csat between 1 and 5 then csat end as csat,
    text as raw_text,
    _known_night as known_night,
    _ended_night as ended_night
from {{ source('landing', 'history_survey_responses') }}
where _known_night < _ended_night
