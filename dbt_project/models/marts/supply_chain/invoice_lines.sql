-- A month is made anew only if its lines or the numbers of their invoices changed.
{{ config(**by_service_month('int_invoiced_months', 'service_from')) }}

with

months as (

    {{ months_to_make('int_invoiced_months') }}

),

lines as (

    select * from {{ ref('int_invoice_lines') }}
    where service_month in (select months.service_month from months)

),

invoices as (

    select * from {{ ref('int_invoices') }}

),

billed as (

    select
        lines.line_id,
        invoices.invoice_id,
        lines.tenant_id,
        lines.tenant_slug,
        lines.line_type,
        lines.item_key,
        lines.service_from,
        lines.service_to,
        lines.quantity,
        lines.unit_price,
        lines.amount_exact,
        lines.amount,
        lines.currency,
        lines.price_book,
        lines.price_entry_id,
        lines.corrects_line_id
    from lines
    left join invoices
        on
            lines.tenant_id = invoices.tenant_id
            and lines.currency = invoices.currency
            and lines.invoice_date = invoices.invoice_date

),

credits as (

    select
        line_id,
        invoice_id,
        tenant_id,
        tenant_slug,
        line_type,
        item_key,
        service_from,
        service_to,
        quantity,
        unit_price,
        amount_exact,
        amount,
        currency,
        price_book,
        price_entry_id,
        corrects_line_id
    from {{ ref('int_credit_lines') }}
    where invoice_date in (select months.service_month from months)

)

select * from billed

union all

select * from credits
