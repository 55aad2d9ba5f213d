with

lines as (

    select * from {{ ref('int_invoice_lines') }}

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

-- An invoice whose lines sum below 0 is brought to 0; the credit note takes the rest.
credits as (

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
        cast(null as {{ dbt.type_string() }}) as corrects_line_id
    from invoices
    where credited > 0

)

select * from billed

union all

select * from credits
