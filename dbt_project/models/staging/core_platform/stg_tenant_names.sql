-- Names of tenants as each night knew them: an invoice keeps the one of its date.
select
    id as tenant_id,
    name,
    _known_night as known_night,
    _ended_night as ended_night
from {{ source('landing', 'history_tenants') }}
