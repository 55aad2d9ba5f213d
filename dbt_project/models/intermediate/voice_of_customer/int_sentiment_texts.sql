-- One row per survey response with a text for which the platform did not send all scores: the redacted text as it is
-- scored, without links, handles and the tenant's own names, which would count as praise or blame (a brand called Joy).
with responses as (

    select * from {{ ref('stg_survey_responses') }}

),

texts as (

    select * from {{ ref('int_texts') }}
    where entity_type = 'survey_response'

),

brands as (

    select * from {{ ref('int_tenant_brands') }}

),

pointed as (

    select
        responses.response_id,
        texts.text_day,
        brands.brand_names,
        {{ without_pointers('texts.body') }} as body
    from responses
    inner join texts on responses.response_id = texts.entity_id
    left join brands on responses.tenant_id = brands.tenant_id
    where
        responses.sentiment_score is null
        or responses.joy is null
        or responses.anger is null
        or responses.fear is null

)

select
    response_id,
    text_day,
    trim({{ without_names('body', 'brand_names') }}) as scored_text
from pointed
