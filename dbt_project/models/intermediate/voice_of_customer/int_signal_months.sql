-- One row a month of feedback signals, with a fingerprint of them, of their redacted texts, and of what masking depends
-- on where anything else of them is to be masked.
with texts as (

    select
        {{ month_of('text_day') }} as service_month,
        {{ rows_digest(['entity_id', 'body']) }} as digest
    from {{ ref('int_texts') }}
    where entity_type = 'customer_event'
    group by {{ month_of('text_day') }}

)

select
    signals.service_month,
    signals.digest || ' ' || coalesce(texts.digest, '')
    || case when signals.may_hold_address = 1 then ' ' || {{ masking_digest() }} else '' end as fingerprint
from {{ ref('stg_signal_months') }} as signals
left join texts on signals.service_month = texts.service_month
