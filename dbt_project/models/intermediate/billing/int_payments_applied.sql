-- One row a payment, the first known of its id, and what it is put towards: an invoice, or, if it is negative, the
-- credit note that it pays out. `status` says whether it counts or why not (yet).
with

payments as (

    select * from {{ ref('stg_payments') }}

),

invoices as (

    select * from {{ ref('int_invoices') }}

),

named as (

    select
        payments.*,
        -- A note is told apart by its number; the rest of what a refund needs stands with the invoice that opened it.
        coalesce(invoices.invoice_id, notes.invoice_id) as applied_invoice_id,
        notes.credit_note_id,
        coalesce(invoices.tenant_id, notes.tenant_id) as tenant_id,
        coalesce(invoices.tenant_slug, notes.tenant_slug) as tenant_slug,
        coalesce(invoices.currency, notes.currency) as owed_currency,
        coalesce(invoices.invoice_date, notes.invoice_date) as invoice_date
    from payments
    left join invoices on payments.invoice_id = invoices.invoice_id
    left join invoices as notes
        on
            payments.invoice_id = notes.credit_note_id
            and payments.amount < 0

)

select
    payment_id,
    case
        when owed_currency is null then 'unknown_invoice'
        when coalesce(currency, '') <> owed_currency then 'wrong_currency'
        else 'counted'
    end as status,
    applied_invoice_id as invoice_id,
    credit_note_id,
    tenant_id,
    tenant_slug,
    owed_currency as currency,
    amount,
    -- The day of the books: that of the payment, if it is told.
    coalesce(cast(paid_at as date), case when invoice_date > known_night then invoice_date else known_night end)
        as paid_on,
    -- Money that came before its invoice counts from the night of the invoice.
    case when invoice_date > known_night then invoice_date else known_night end as counted_night
from named
