-- Law 7: numbers of invoices and of credit notes run from 1 without a gap, invoices in the order of date, tenant slug
-- and currency, notes in the order of the invoices that opened them.
with

placed as (

    select
        invoices.id,
        notes.id as credit_note_id,
        row_number() over (order by invoices.date, invoices.tenant_slug, invoices.currency) as place,
        row_number() over (
            order by
                case when notes.id is null then 1 else 0 end,
                invoices.date, invoices.tenant_slug, invoices.currency
        ) as note_place
    from {{ ref('invoices') }} as invoices
    left join {{ ref('credit_notes') }} as notes on invoices.id = notes.invoice_id

)

select
    id as broken_by,
    credit_note_id,
    place,
    note_place
from placed
where
    id <> {{ document_number(var('invoice_prefix'), 'place') }}
    or credit_note_id <> {{ document_number(var('credit_note_prefix'), 'note_place') }}
-- depends_on: {{ ref('billing_certificate') }}
