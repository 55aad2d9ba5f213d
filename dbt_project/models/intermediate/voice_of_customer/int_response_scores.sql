-- One row per survey response, with the scores that everything after it uses. Where a score comes from is decided here
-- and nowhere else; a response without a score keeps its row, and the reason why.
with responses as (

    select * from {{ ref('stg_survey_responses') }}

)

select
    response_id,
    survey_id,
    tenant_id,
    customer_id,
    submitted_on,
    week_start,
    csat,
    sentiment_score as overall_score,
    joy,
    anger,
    fear,
    case when sentiment_score is not null then 'platform' end as score_source,
    case
        when sentiment_score is not null then null
        when is_sentiment_out_of_scale then 'the platform sent a score outside -1 to 1'
        else 'the platform sent no score'
    end as reason,
    known_night
from responses
