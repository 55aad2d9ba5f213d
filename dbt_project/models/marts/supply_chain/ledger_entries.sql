-- Double entry: what each final invoice, payment, use of credit and refund does to the accounts. Every transaction is
-- about one invoice in one currency, so debits equal credits by each of them. docs/billing.md lists the postings.
-- A month is made anew only if what is booked in it changed.
{{ config(**by_service_month('int_booked_months', 'date')) }}

with

months as (

    {{ months_to_make('int_booked_months') }}

),

invoices as (

    select * from {{ ref('int_invoices') }}
    where invoice_date in (select months.service_month from months)

),

lines as (

    select
        lines.line_id,
        lines.line_type,
        lines.item_key,
        lines.amount,
        invoices.invoice_id,
        invoices.invoice_date,
        invoices.tenant_id,
        invoices.tenant_slug,
        invoices.currency,
        invoices.credit_note_id
    from {{ ref('invoice_lines') }} as lines
    inner join invoices on lines.invoice_id = invoices.invoice_id
    where lines.amount <> 0

),

payments as (

    select *
    from {{ ref('int_payments_applied') }}
    where
        status = 'counted'
        and {{ month_of('paid_on') }} in (select months.service_month from months)

),

uses as (

    select * from {{ ref('int_booked_credit_uses') }}
    where {{ month_of('booked_on') }} in (select months.service_month from months)

),

sides as (

    select 1 as sign

    union all

    select -1 as sign

),

-- `amount` is what an entry adds to its account's debit side, negative for the credit side.
entries as (

    select
        'invoice ' || invoice_id as transaction_id,
        invoice_date as date,
        invoice_date as night,
        'receivable' as account,
        tenant_id,
        tenant_slug,
        currency,
        amount,
        invoice_id,
        cast(null as {{ dbt.type_string() }}) as line_id,
        cast(null as {{ dbt.type_string() }}) as payment_id,
        cast(null as {{ dbt.type_string() }}) as credit_note_id,
        cast(null as {{ dbt.type_string() }}) as item_key
    from invoices
    where amount <> 0

    union all

    select
        'invoice ' || invoice_id as transaction_id,
        invoice_date as date,
        invoice_date as night,
        case when line_type = 'credit' then 'credit' else 'revenue' end as account,
        tenant_id,
        tenant_slug,
        currency,
        -amount as amount,
        invoice_id,
        line_id,
        cast(null as {{ dbt.type_string() }}) as payment_id,
        case when line_type = 'credit' then credit_note_id end as credit_note_id,
        case when line_type <> 'credit' then item_key end as item_key
    from lines

    union all

    select
        'payment ' || payments.payment_id as transaction_id,
        payments.paid_on as date,
        payments.counted_night as night,
        case when sides.sign = 1 then 'cash' else 'receivable' end as account,
        payments.tenant_id,
        payments.tenant_slug,
        payments.currency,
        payments.amount * sides.sign as amount,
        payments.invoice_id,
        cast(null as {{ dbt.type_string() }}) as line_id,
        payments.payment_id,
        cast(null as {{ dbt.type_string() }}) as credit_note_id,
        cast(null as {{ dbt.type_string() }}) as item_key
    from payments
    cross join sides
    where
        payments.credit_note_id is null
        and payments.amount <> 0

    union all

    select
        case
            when uses.payment_id is null then 'use ' || uses.credit_note_id || ' ' || uses.invoice_id
            else 'refund ' || uses.payment_id
        end as transaction_id,
        uses.booked_on as date,
        uses.night,
        case
            when sides.sign = 1 then 'credit'
            when uses.payment_id is null then 'receivable'
            else 'cash'
        end as account,
        uses.tenant_id,
        uses.tenant_slug,
        uses.currency,
        uses.amount * sides.sign as amount,
        uses.invoice_id,
        cast(null as {{ dbt.type_string() }}) as line_id,
        uses.payment_id,
        uses.credit_note_id,
        cast(null as {{ dbt.type_string() }}) as item_key
    from uses
    cross join sides

)

select
    {{ content_hash(['transaction_id', 'account', 'line_id']) }} as entry_id,
    transaction_id,
    date,
    night,
    account,
    tenant_id,
    tenant_slug,
    currency,
    cast(greatest(amount, 0) as decimal(18, 2)) as debit,
    cast(greatest(-amount, 0) as decimal(18, 2)) as credit,
    invoice_id,
    line_id,
    payment_id,
    credit_note_id,
    item_key
from entries
