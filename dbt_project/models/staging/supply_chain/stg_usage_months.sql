-- Service months of usage events, each with the fingerprint of all that its usage depends on.
select
    service_month,
    fingerprint
from {{ source('landing', 'usage_months') }}
