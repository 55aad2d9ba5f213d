-- One row a month of feedback, with a fingerprint of its responses and signals.
with fingerprints as (

    select
        service_month,
        'responses ' || fingerprint as fingerprint
    from {{ ref('int_response_months') }}

    union all

    select
        service_month,
        'signals ' || digest as fingerprint
    from {{ ref('stg_signal_months') }}

)

select
    service_month,
    {{ dbt.listagg('fingerprint', "' '", 'order by fingerprint') }} as fingerprint
from fingerprints
group by service_month
