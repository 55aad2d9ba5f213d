-- One row an invoice whose lines sum below 0: the line that brings it to 0. The credit note takes the rest.
{{ config(materialized='view') }}

select
    {{ content_hash(["'credit'", 'tenant_id', 'currency', 'invoice_date']) }} as line_id,
    invoice_id,
    tenant_id,
    tenant_slug,
    'credit' as line_type,
    'credit_note' as item_key,
    invoice_date as service_from,
    invoice_date as service_to,
    cast(1 as decimal(38, 6)) as quantity,
    cast(null as decimal(18, 6)) as unit_price,
    cast(credited as decimal(38, 12)) as amount_exact,
    credited as amount,
    currency,
    cast(null as {{ dbt.type_string() }}) as price_book,
    cast(null as {{ dbt.type_string() }}) as price_entry_id,
    cast(null as {{ dbt.type_string() }}) as corrects_line_id,
    invoice_date
from {{ ref('int_invoices') }}
where credited > 0
