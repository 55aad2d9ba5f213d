-- What completed nights kept of the ledger.
select
    night,
    since,
    entries,
    digest
from {{ source('landing', 'ledger_nights') }}
