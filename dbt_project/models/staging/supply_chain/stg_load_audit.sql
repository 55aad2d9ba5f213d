-- Where the loader put the rows of each file of the night, before billing judges what it accepted.
select
    table_name,
    source_file,
    rows_read,
    rows_accepted,
    rows_quarantined,
    rows_duplicate
from {{ source('landing', 'load_audit') }}
