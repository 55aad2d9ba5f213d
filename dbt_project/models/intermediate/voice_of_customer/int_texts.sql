-- One row per text in which topics are looked for: feedback signals and survey responses, redacted, and what
-- responses said before they were corrected or withdrawn (`former_response`: it tells which topics they touched then).
-- `text_day` is the day whose aliases apply.
with texts as (

    select
        'customer_event' as entity_type,
        event_id as entity_id,
        tenant_id,
        coalesce(occurred_on, known_night) as text_day,
        summary as body
    from {{ ref('stg_customer_events') }}
    where summary is not null

    union all

    select
        'survey_response' as entity_type,
        response_id as entity_id,
        tenant_id,
        coalesce(submitted_on, known_night) as text_day,
        comment_text as body
    from {{ ref('stg_survey_responses') }}
    where comment_text is not null

    union all

    select
        'former_response' as entity_type,
        former_id as entity_id,
        tenant_id,
        coalesce(submitted_on, known_night) as text_day,
        comment_text as body
    from {{ ref('stg_former_survey_responses') }}
    where comment_text is not null

)

select
    *,
    {{ text_key('body') }} as text_key
from texts
