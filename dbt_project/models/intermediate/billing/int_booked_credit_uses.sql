-- One row a use of credit as the books tell it: about which invoice, and on which day.
{{ config(materialized='view') }}

select
    uses.credit_note_id,
    uses.night,
    uses.payment_id,
    uses.amount,
    uses.currency,
    notes.tenant_id,
    notes.tenant_slug,
    -- A refund is about the invoice that opened the note.
    coalesce(uses.invoice_id, notes.invoice_id) as invoice_id,
    coalesce(payments.paid_on, uses.night) as booked_on
from {{ ref('int_credit_uses') }} as uses
inner join {{ ref('int_invoices') }} as notes on uses.credit_note_id = notes.credit_note_id
left join {{ ref('int_payments_applied') }} as payments
    on
        uses.payment_id = payments.payment_id
        and payments.status = 'counted'
