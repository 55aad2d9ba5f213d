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

line_texts as (

    select
        invoice_id,
        {{ content_hash([
            'line_id', 'line_type', 'item_key', 'service_from', 'service_to', 'quantity', 'unit_price', 'amount_exact',
            'amount', 'price_entry_id',
        ]) }} as line_hash
    from {{ ref('invoice_lines') }}
    where invoice_id is not null

),

line_hashes as (

    select
        invoice_id,
        {{ dbt.hash(dbt.listagg('line_hash', "','", 'order by line_hash')) }} as lines_hash
    from line_texts
    group by invoice_id

),

balances as (

    select
        invoices.*,
        line_hashes.lines_hash,
        invoices.amount - coalesce(credits.used, 0) - coalesce(payments.paid, 0) as balance
    from invoices
    inner join line_hashes on invoices.invoice_id = line_hashes.invoice_id
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
