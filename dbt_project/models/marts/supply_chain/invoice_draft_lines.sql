with

drafts as (

    select * from {{ ref('invoice_drafts') }}

),

lines as (

    select * from {{ ref('int_billing_lines') }}
    where is_draft

),

sums as (

    select
        tenant_id,
        tenant_slug,
        currency,
        invoice_date,
        sum(amount) as lines_amount
    from lines
    group by tenant_id, tenant_slug, currency, invoice_date

)

select
    line_id,
    cast(null as {{ dbt.type_string() }}) as invoice_id,
    tenant_id,
    tenant_slug,
    line_type,
    item_key,
    service_from,
    service_to,
    quantity,
    unit_price,
    amount_exact,
    amount,
    currency,
    price_book,
    price_entry_id,
    corrects_line_id
from lines

union all

-- Lines that sum below 0 would be brought to 0, and the rest be a credit note.
select
    {{ content_hash(["'credit'", 'drafts.tenant_id', 'drafts.currency', 'drafts.date']) }} as line_id,
    cast(null as {{ dbt.type_string() }}) as invoice_id,
    drafts.tenant_id,
    drafts.tenant_slug,
    'credit' as line_type,
    'credit_note' as item_key,
    drafts.date as service_from,
    drafts.date as service_to,
    cast(1 as decimal(38, 6)) as quantity,
    cast(null as decimal(18, 6)) as unit_price,
    cast(-sums.lines_amount as decimal(38, 12)) as amount_exact,
    cast(-sums.lines_amount as decimal(18, 2)) as amount,
    drafts.currency,
    cast(null as {{ dbt.type_string() }}) as price_book,
    cast(null as {{ dbt.type_string() }}) as price_entry_id,
    cast(null as {{ dbt.type_string() }}) as corrects_line_id
from drafts
inner join sums
    on
        drafts.tenant_id = sums.tenant_id
        and drafts.currency = sums.currency
where sums.lines_amount < 0
