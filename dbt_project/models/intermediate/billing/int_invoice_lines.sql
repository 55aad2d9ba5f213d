-- One row a line of any kind but credit whose invoice date has ended, before it stands on an invoice. What it says
-- never changes any more.
{{ config(materialized='view') }}

select
    line_id,
    chain_id,
    tenant_id,
    tenant_slug,
    currency,
    invoice_date,
    service_month,
    line_type,
    item_key,
    service_from,
    service_to,
    quantity,
    unit_price,
    amount_exact,
    amount,
    price_book,
    price_entry_id,
    price_set_id,
    events,
    corrects_line_id
from {{ ref('int_billing_lines') }}
where not is_draft
