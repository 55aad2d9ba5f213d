with

uses as (

    select
        credit_note_id,
        sum(amount) as used
    from {{ ref('int_credit_uses') }}
    group by credit_note_id

)

select
    notes.credit_note_id as id,
    notes.tenant_id,
    notes.tenant_slug,
    notes.invoice_id,
    notes.invoice_date as date,
    notes.currency,
    notes.credited as amount,
    cast(notes.credited - coalesce(uses.used, 0) as decimal(18, 2)) as amount_left
from {{ ref('int_invoices') }} as notes
left join uses on notes.credit_note_id = uses.credit_note_id
where notes.credited > 0
