with

sums as (

    select
        tenant_id,
        tenant_slug,
        invoice_date,
        currency,
        sum(amount) as lines_amount,
        count(*) as lines,
        sum(events) as events
    from {{ ref('int_billing_lines') }}
    where is_draft
    group by tenant_id, tenant_slug, invoice_date, currency
    -- As with invoices: nothing but lines kept at 0.00 makes none.
    having sum(case when amount <> 0 then 1 else 0 end) > 0

)

select
    tenant_id,
    tenant_slug,
    invoice_date as date,
    currency,
    substring(cast(invoice_date as {{ dbt.type_string() }}), 1, 7) as period,
    cast(greatest(lines_amount, 0) as decimal(18, 2)) as amount,
    cast(lines as bigint) as lines,
    cast(events as bigint) as events
from sums
