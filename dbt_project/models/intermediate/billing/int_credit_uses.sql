-- One row a credit note and an invoice that uses it or a refund that pays it out, with what that takes from the note.
-- Invoices take from the tenant's notes in that currency oldest first; a refund takes from the note that it names. What
-- each finds is what those before it left, night by night, so that a refund known later changes no earlier use.
with recursive notes as (

    select
        tenant_id,
        currency,
        credit_note_id,
        invoice_number as note_order,
        invoice_date as opened_on,
        credited as amount
    from {{ ref('int_invoices') }}
    where credited > 0

),

first_notes as (

    select
        tenant_id,
        currency,
        min(opened_on) as opened_on
    from notes
    group by tenant_id, currency

),

takers as (

    -- What a tenant pays out of its notes begins with the first of them.
    select
        invoices.tenant_id,
        invoices.currency,
        invoices.invoice_date as night,
        invoices.invoice_id,
        cast(null as {{ dbt.type_string() }}) as payment_id,
        cast(null as {{ dbt.type_string() }}) as named_note_id,
        invoices.amount as wanted
    from {{ ref('int_invoices') }} as invoices
    inner join first_notes
        on
            invoices.tenant_id = first_notes.tenant_id
            and invoices.currency = first_notes.currency
            and invoices.invoice_date > first_notes.opened_on
    where invoices.amount > 0

    union all

    select
        tenant_id,
        currency,
        counted_night as night,
        cast(null as {{ dbt.type_string() }}) as invoice_id,
        payment_id,
        credit_note_id as named_note_id,
        cast(-amount as decimal(18, 2)) as wanted
    from {{ ref('int_payments_applied') }}
    where
        status = 'counted'
        and credit_note_id is not null

),

-- Of one night, the refunds come before the invoice: both are known at its end, and the invoice takes what is left.
queued as (

    select
        *,
        row_number() over (
            partition by tenant_id, currency
            order by night, case when payment_id is null then 1 else 0 end, payment_id
        ) as place
    from takers

),

steps as (

    select
        tenant_id,
        currency,
        credit_note_id,
        note_order,
        opened_on,
        cast(0 as bigint) as place,
        cast(amount as decimal(18, 2)) as amount_left,
        cast(0 as decimal(18, 2)) as taken
    from notes

    union all

    select
        tenant_id,
        currency,
        credit_note_id,
        note_order,
        opened_on,
        place,
        cast(amount_left - taken as decimal(18, 2)) as amount_left,
        cast(taken as decimal(18, 2)) as taken
    from (
        select
            steps.tenant_id,
            steps.currency,
            steps.credit_note_id,
            steps.note_order,
            steps.opened_on,
            queued.place,
            steps.amount_left,
            case
                when steps.opened_on > queued.night then 0
                when queued.named_note_id = steps.credit_note_id then least(steps.amount_left, queued.wanted)
                when queued.named_note_id is not null then 0
                else
                    least(
                        steps.amount_left,
                        greatest(
                            queued.wanted - coalesce(
                                sum(steps.amount_left) over (
                                    partition by steps.tenant_id, steps.currency
                                    order by steps.note_order
                                    rows between unbounded preceding and 1 preceding
                                ),
                                0
                            ),
                            0
                        )
                    )
            end as taken
        from steps
        inner join queued
            on
                steps.tenant_id = queued.tenant_id
                and steps.currency = queued.currency
                and steps.place + 1 = queued.place
        -- A note of which nothing is left has no further steps.
        where steps.amount_left > 0
    ) as taking

)

select
    steps.credit_note_id,
    steps.tenant_id,
    steps.currency,
    queued.night,
    queued.invoice_id,
    queued.payment_id,
    steps.taken as amount
from steps
inner join queued
    on
        steps.tenant_id = queued.tenant_id
        and steps.currency = queued.currency
        and steps.place = queued.place
where steps.taken > 0
