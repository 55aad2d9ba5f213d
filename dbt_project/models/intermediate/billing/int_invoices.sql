-- One row an invoice: a tenant, currency and first of a month, with its number, its credit note and the credit it uses.
with

sums as (

    select
        tenant_id,
        tenant_slug,
        currency,
        invoice_date,
        sum(amount) as lines_amount
    from {{ ref('int_invoice_lines') }}
    group by tenant_id, tenant_slug, currency, invoice_date
    -- A tenant with nothing but lines kept at 0.00 gets no invoice.
    having sum(case when amount <> 0 then 1 else 0 end) > 0

),

numbered as (

    select
        *,
        greatest(lines_amount, 0) as amount,
        -- Below 0 the invoice is brought to 0 and the rest is a credit note.
        greatest(-lines_amount, 0) as credited,
        row_number() over (order by invoice_date, tenant_slug, currency) as invoice_number
    from sums

),

-- What is left of the tenant's notes after each invoice: what was left before, and the new note, less the invoice,
-- never below 0. Without the "never below 0" it is a running sum; its deepest dip below 0 so far is what that rule
-- gave back.
flows as (

    select
        *,
        sum(case when credited > 0 then 1 else 0 end) over (order by invoice_number) as note_number,
        sum(credited - amount) over (
            partition by tenant_id, currency order by invoice_date
        ) as running_sum
    from numbered

),

notes_left as (

    select
        *,
        running_sum - least(
            0, min(running_sum) over (partition by tenant_id, currency order by invoice_date)
        ) as credit_left
    from flows

),

terms as (

    select
        notes_left.tenant_id,
        notes_left.currency,
        notes_left.invoice_date,
        subscriptions.net_terms_days,
        -- The subscription that covers the date, else the last one before it.
        row_number() over (
            partition by notes_left.tenant_id, notes_left.currency, notes_left.invoice_date
            order by
                case
                    when
                        subscriptions.started_on <= notes_left.invoice_date
                        and subscriptions.covered_to > notes_left.invoice_date
                        then 0
                    when subscriptions.started_on <= notes_left.invoice_date then 1
                    else 2
                end asc,
                subscriptions.started_on desc,
                subscriptions.subscription_id asc
        ) as place
    from notes_left
    inner join {{ ref('int_subscriptions_accepted') }} as subscriptions
        on
            notes_left.tenant_id = subscriptions.tenant_id
            and notes_left.currency = subscriptions.currency
            -- What becomes known later never moves the due date of a final invoice.
            and notes_left.invoice_date >= subscriptions.known_close

)

select
    {{ document_number(var('invoice_prefix', 'INV-24-'), 'notes_left.invoice_number') }} as invoice_id,
    notes_left.invoice_number,
    notes_left.tenant_id,
    notes_left.tenant_slug,
    notes_left.currency,
    notes_left.invoice_date,
    cast({{ dbt.dateadd('day', 'terms.net_terms_days', 'notes_left.invoice_date') }} as date) as due_date,
    cast(notes_left.amount as decimal(18, 2)) as amount,
    cast(notes_left.credited as decimal(18, 2)) as credited,
    case
        when notes_left.credited > 0
            then {{ document_number(var('credit_note_prefix', 'CN-24-'), 'notes_left.note_number') }}
    end as credit_note_id,
    cast(
        coalesce(
            lag(notes_left.credit_left) over (
                partition by notes_left.tenant_id, notes_left.currency order by notes_left.invoice_date
            ),
            0
        ) + notes_left.credited - notes_left.credit_left as decimal(18, 2)
    ) as credit_used,
    cast(notes_left.credit_left as decimal(18, 2)) as credit_left
from notes_left
inner join terms
    on
        notes_left.tenant_id = terms.tenant_id
        and notes_left.currency = terms.currency
        and notes_left.invoice_date = terms.invoice_date
        and terms.place = 1
