-- One row per survey response, with the scores that everything after it uses. Where a score comes from is decided here
-- and nowhere else: the platform's where it sent one, else that of the response's text. A response without a score
-- keeps its row, and the reason why. A month is made anew only if a response of it, or its text as it is scored,
-- changed.
{{ config(**by_service_month('int_response_months', 'submitted_on')) }}

with responses as (

    select * from {{ ref('stg_survey_responses') }}
    where {{ is_to_be_made('int_response_months', 'submitted_on') }}

),

texts as (

    select * from {{ ref('int_sentiment_texts') }}

),

text_scores as (

    select * from {{ ref('int_text_scores') }}
    where text_model = {{ text_model() }}

),

scored as (

    select
        responses.response_id,
        -- tells the responses of this table apart in fewer bytes than their ids
        {{ text_key('responses.response_id') }} as response_key,
        {{ sixteenth('responses.response_id') }} as sixteenth,
        responses.survey_id,
        responses.tenant_id,
        responses.customer_id,
        responses.submitted_on,
        responses.week_start,
        responses.csat,
        responses.is_sentiment_out_of_scale,
        responses.known_night,
        coalesce(responses.sentiment_score, text_scores.overall_score) as overall_score,
        coalesce(responses.joy, text_scores.joy) as joy,
        coalesce(responses.anger, text_scores.anger) as anger,
        coalesce(responses.fear, text_scores.fear) as fear,
        responses.sentiment_score is not null as has_platform_score,
        text_scores.overall_score is not null as has_text_score,
        -- how many of the three emotions the platform sent
        case when responses.joy is null then 0 else 1 end
        + case when responses.anger is null then 0 else 1 end
        + case when responses.fear is null then 0 else 1 end as n_platform_emotions,
        text_scores.joy is not null as has_text_emotions,
        coalesce(texts.scored_text, '') <> '' as has_text
    from responses
    left join texts on responses.response_id = texts.response_id
    left join text_scores on texts.scored_text = text_scores.scored_text

)

select
    response_id,
    survey_id,
    tenant_id,
    customer_id,
    submitted_on,
    week_start,
    csat,
    overall_score,
    joy,
    anger,
    fear,
    case
        when has_platform_score then 'platform'
        when has_text_score then 'text'
    end as score_source,
    case
        when n_platform_emotions = 3 then 'platform'
        when n_platform_emotions > 0 and has_text_emotions then 'platform and text'
        when n_platform_emotions > 0 then 'platform'
        when has_text_emotions then 'text'
    end as emotion_source,
    case when has_text_score or has_text_emotions then {{ text_model() }} end as text_model,
    {{ reasons([
        ('overall_score is null and is_sentiment_out_of_scale', 'the platform sent a score outside -1 to 1'),
        (
            'not has_text and (overall_score is null or joy is null or anger is null or fear is null)',
            'the platform did not send all scores and there is no text'
        ),
        (
            'has_text and (overall_score is null or joy is null or anger is null or fear is null)',
            'no word of the text is known to the models'
        ),
    ]) }} as reason,
    known_night,
    response_key,
    cast(sixteenth as smallint) as sixteenth
from scored
