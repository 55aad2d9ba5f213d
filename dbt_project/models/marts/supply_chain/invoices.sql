with

invoices as (

    select * from {{ ref('int_invoices') }}

),

payments as (

    select
        invoice_id,
        sum(amount) as paid
    from {{ ref('int_payments_applied') }}
    where
        status = 'counted'
        and credit_note_id is null
    group by invoice_id

),

credits as (

    select
        invoice_id,
        sum(amount) as used
    from {{ ref('int_credit_uses') }}
    where invoice_id is not null
    group by invoice_id

),

line_hashes as (

    select * from {{ ref('int_invoice_hashes') }}

),

balances as (

    select
        invoices.*,
        line_hashes.lines_hash,
        invoices.amount - coalesce(credits.used, 0) - coalesce(payments.paid, 0) as balance
    from invoices
    inner join line_hashes
        on
            invoices.tenant_id = line_hashes.tenant_id
            and invoices.currency = line_hashes.currency
            and invoices.invoice_date = line_hashes.invoice_date
    left join credits on invoices.invoice_id = credits.invoice_id
    left join payments on invoices.invoice_id = payments.invoice_id

)

select
    invoice_id as id,
    tenant_id,
    invoice_date as date,
    amount,
    case
        when balance <= 0 then 'Paid'
        when due_date < {{ night() }} then 'Overdue'
        else 'Pending'
    end as status,
    tenant_slug,
    currency,
    due_date,
    substring(cast(invoice_date as {{ dbt.type_string() }}), 1, 7) as period,
    {{ content_hash(['invoice_id', 'tenant_id', 'invoice_date', 'currency', 'due_date', 'lines_hash']) }}
        as content_hash,
    cast(balance as decimal(18, 2)) as balance
from balances
