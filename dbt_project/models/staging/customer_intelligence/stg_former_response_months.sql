-- Months of what responses said before, with a digest of what redacting it depends on.
with responses as (

    select
        *,
        coalesce(cast(coalesce(submitted_at, received_at) as date), _known_night) as text_day
    from {{ source('landing', 'history_survey_responses') }}
    where _known_night < _ended_night

)

select
    {{ month_of('text_day') }} as service_month,
    {{ rows_digest(['response_id', 'tenant_id', 'text_day', 'text', '_known_night']) }} as text_digest
from responses
where {{ has_month('text_day') }}
group by {{ month_of('text_day') }}
