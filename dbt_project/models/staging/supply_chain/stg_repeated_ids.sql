-- Service months with ids of usage events that the same tenant used in another month, too.
select
    service_month,
    ids
from {{ source('landing', 'repeated_ids') }}
