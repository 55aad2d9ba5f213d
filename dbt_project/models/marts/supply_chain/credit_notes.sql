with

notes as (

    select
        *,
        -- The tenant's notes are used oldest first, so what is left is left of the newest.
        coalesce(
            sum(credited) over (
                partition by tenant_id, currency order by invoice_date desc
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as credited_later
    from {{ ref('int_invoices') }}
    where credited > 0

),

left_now as (

    select
        tenant_id,
        currency,
        credit_left,
        row_number() over (partition by tenant_id, currency order by invoice_date desc) as place
    from {{ ref('int_invoices') }}

)

select
    notes.credit_note_id as id,
    notes.tenant_id,
    notes.tenant_slug,
    notes.invoice_id,
    notes.invoice_date as date,
    notes.currency,
    notes.credited as amount,
    cast(least(greatest(left_now.credit_left - notes.credited_later, 0), notes.credited) as decimal(18, 2))
        as amount_left
from notes
inner join left_now
    on
        notes.tenant_id = left_now.tenant_id
        and notes.currency = left_now.currency
        and left_now.place = 1
