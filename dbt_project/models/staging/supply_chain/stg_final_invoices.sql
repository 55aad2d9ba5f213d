-- The invoices that completed nights made final, as they were then.
select
    id as invoice_id,
    date as invoice_date,
    content_hash
from {{ source('landing', 'final_invoices') }}
