-- One row per text in which topics are looked for: feedback signals and survey responses, redacted, and what
-- responses said before they were corrected or withdrawn (`former_response`: it tells which topics they touched then).
-- `text_day` is the day whose aliases apply.
-- Here alone feedback is redacted, once a text and no row without one: it is most of the work. A month is redacted anew
-- only if a text of it, the key or a name that is redacted changed.
{{ config(**by_service_month('int_text_months', 'text_day')) }}

with texts as {{ computed_once() }} (

    select
        'customer_event' as entity_type,
        event_id as entity_id,
        tenant_id,
        coalesce(occurred_on, known_night) as text_day,
        raw_text
    from {{ ref('stg_customer_events') }}
    where
        raw_text is not null
        and {{ is_to_be_made('int_text_months', 'coalesce(occurred_on, known_night)') }}

    union all

    select
        'survey_response' as entity_type,
        response_id as entity_id,
        tenant_id,
        coalesce(submitted_on, known_night) as text_day,
        raw_text
    from {{ ref('stg_survey_responses') }}
    where
        raw_text is not null
        and {{ is_to_be_made('int_text_months', 'coalesce(submitted_on, known_night)') }}

    union all

    select
        'former_response' as entity_type,
        former_id as entity_id,
        tenant_id,
        coalesce(submitted_on, known_night) as text_day,
        raw_text
    from {{ ref('stg_former_survey_responses') }}
    where
        raw_text is not null
        and {{ is_to_be_made('int_text_months', 'coalesce(submitted_on, known_night)') }}

),

redacted as {{ computed_once() }} (

    select
        entity_type,
        entity_id,
        tenant_id,
        text_day,
        {{ redact('raw_text', 'tenant_id') }} as body
    from texts

)

select
    *,
    {{ text_key('body') }} as text_key
from redacted
