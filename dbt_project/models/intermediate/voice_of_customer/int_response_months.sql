-- One row a month of survey responses, with a fingerprint of them and of their texts as these are scored.
with texts as (

    select
        {{ month_of('text_day') }} as service_month,
        {{ rows_digest(['response_id', 'scored_text']) }} as digest
    from {{ ref('int_sentiment_texts') }}
    group by {{ month_of('text_day') }}

)

select
    responses.service_month,
    responses.digest || ' ' || coalesce(texts.digest, '') as fingerprint
from {{ ref('stg_response_months') }} as responses
left join texts on responses.service_month = texts.service_month
