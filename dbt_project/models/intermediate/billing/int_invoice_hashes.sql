-- One row an invoice, with a hash of what its lines say, whatever their order.
{{ config(**by_service_month('int_booked_months', 'invoice_date')) }}

{%- set told = [
    'line_id', 'line_type', 'item_key', 'service_from', 'service_to', 'quantity', 'unit_price', 'amount_exact', 'amount',
    'price_entry_id',
] %}

with

months as (

    {{ months_to_make('int_booked_months') }}

),

line_texts as (

    select
        tenant_id,
        currency,
        invoice_date,
        {{ content_hash(told) }} as line_hash
    from {{ ref('int_invoice_lines') }}
    where invoice_date in (select months.service_month from months)

    union all

    select
        tenant_id,
        currency,
        invoice_date,
        {{ content_hash(told) }} as line_hash
    from {{ ref('int_credit_lines') }}
    where invoice_date in (select months.service_month from months)

)

select
    tenant_id,
    currency,
    invoice_date,
    {{ dbt.hash(dbt.listagg('line_hash', "','", 'order by line_hash')) }} as lines_hash
from line_texts
group by tenant_id, currency, invoice_date
