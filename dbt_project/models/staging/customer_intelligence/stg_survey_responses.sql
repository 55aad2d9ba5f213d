-- Survey responses with their UTC day and week, and scores outside their scale taken for missing.
select
    response_id,
    survey_id,
    tenant_id,
    customer_id,
    coalesce(submitted_at, received_at) as submitted_at,
    cast(coalesce(submitted_at, received_at) as date) as submitted_on,
    cast({{ dbt.date_trunc('week', 'coalesce(submitted_at, received_at)') }} as date) as week_start,
    case when csat between 1 and 5 then csat end as csat,
    case when nps_score between 0 and 10 then nps_score end as nps_score,
    text as raw_text,
    -- NaN and Infinity are outside every scale
    case when sentiment_score between -1 and 1 then sentiment_score end as sentiment_score,
    case when joy between 0 and 1 then joy end as joy,
    case when anger between 0 and 1 then anger end as anger,
    case when fear between 0 and 1 then fear end as fear,
    coalesce(not sentiment_score between -1 and 1, false) as is_sentiment_out_of_scale,
    _known_night as known_night
from {{ source('customer_intelligence', 'survey_responses') }}
