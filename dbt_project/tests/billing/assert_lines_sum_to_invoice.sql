-- Law 1: the lines of an invoice sum to its amount, exactly, in its currency, and the smallest unit of that currency
-- is kept.
with

sums as (

    select
        invoice_id,
        sum(amount) as amount,
        count(distinct currency) as currencies,
        min(currency) as currency
    from {{ ref('invoice_lines') }}
    where invoice_id is not null
    group by invoice_id

)

select
    coalesce(invoices.id, sums.invoice_id) as broken_by,
    invoices.amount as invoice_amount,
    sums.amount as lines_amount
from {{ ref('invoices') }} as invoices
full outer join sums on invoices.id = sums.invoice_id
where
    invoices.id is null
    or sums.invoice_id is null
    or invoices.amount <> sums.amount
    or invoices.amount < 0
    or sums.currencies <> 1
    or sums.currency <> invoices.currency
    or (invoices.currency = 'JPY' and invoices.amount <> round(invoices.amount, 0))
-- depends_on: {{ ref('billing_certificate') }}
