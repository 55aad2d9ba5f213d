{{ config(**by_service_month('int_response_months', 'date')) }}

select
    response_id,
    overall_score,
    joy,
    anger,
    fear,
    tenant_id,
    survey_id,
    score_source,
    emotion_source,
    text_model,
    reason,
    customer_id,
    submitted_on as date,
    csat
from {{ ref('int_response_scores') }}
where {{ is_to_be_made('int_response_months', 'submitted_on') }}
