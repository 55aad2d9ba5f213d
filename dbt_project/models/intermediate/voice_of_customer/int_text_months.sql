-- One row a month of texts, with a fingerprint of all that their redaction depends on.
with digests as (

    select
        service_month,
        'signals ' || text_digest as digest
    from {{ ref('stg_signal_months') }}

    union all

    select
        service_month,
        'responses ' || text_digest as digest
    from {{ ref('stg_response_months') }}

    union all

    select
        service_month,
        'former ' || text_digest as digest
    from {{ ref('stg_former_response_months') }}

)

select
    service_month,
    {{ dbt.listagg('digest', "' '", 'order by digest') }} || ' ' || {{ masking_digest() }} as fingerprint
from digests
group by service_month
