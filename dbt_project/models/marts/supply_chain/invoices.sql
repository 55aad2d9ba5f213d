with

invoices as (

    select * from {{ ref('int_invoices') }}

),

payments as (

    select
        invoice_id,
        currency,
        sum(amount) as paid
    from {{ ref('stg_payments') }}
    group by invoice_id, currency

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
        invoices.amount - invoices.credit_used - coalesce(payments.paid, 0) as balance
    from invoices
    inner join line_hashes on invoices.invoice_id = line_hashes.invoice_id
    -- A payment in another currency does not count.
    left join payments
        on
            invoices.invoice_id = payments.invoice_id
            and invoices.currency = payments.currency

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
