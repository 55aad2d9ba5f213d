-- Law 8: what is used and paid out of a credit note and what is left of it is what it was opened with, nothing below 0;
-- an invoice uses no more credit than it charges, and none of a note that was opened later.
with

uses as (

    select
        credit_note_id,
        sum(amount) as used,
        min(amount) as lowest_use,
        min(night) as first_use
    from {{ ref('int_credit_uses') }}
    group by credit_note_id

),

invoice_uses as (

    select
        invoice_id,
        sum(amount) as used
    from {{ ref('int_credit_uses') }}
    where invoice_id is not null
    group by invoice_id

)

select
    coalesce(notes.id, uses.credit_note_id) as broken_by,
    notes.amount,
    uses.used,
    notes.amount_left
from {{ ref('credit_notes') }} as notes
full outer join uses on notes.id = uses.credit_note_id
where
    notes.id is null
    or notes.amount <> notes.amount_left + coalesce(uses.used, 0)
    or notes.amount_left < 0
    or uses.lowest_use <= 0
    or uses.first_use < notes.date

union all

select
    invoice_uses.invoice_id as broken_by,
    invoices.amount,
    invoice_uses.used,
    cast(null as decimal(18, 2)) as amount_left
from invoice_uses
left join {{ ref('invoices') }} as invoices on invoice_uses.invoice_id = invoices.id
where
    invoices.id is null
    or invoice_uses.used > invoices.amount
-- depends_on: {{ ref('billing_certificate') }}
