-- One row a line of any kind but credit, of the final invoice dates and of the draft's. `chain_id` names what lines of
-- one kind, item, price set and service month have in common: the first of them bills it, the others correct it.
-- A month is made anew only if its lines changed.
{{ config(**by_service_month('int_billed_months')) }}

with

months as (

    {{ months_to_make('int_billed_months') }}

),

lines as (

    select
        tenant_id,
        tenant_slug,
        currency,
        invoice_date,
        service_month,
        line_type,
        item_key,
        {{ content_hash([
            "'plan_fee'", 'tenant_id', 'subscription_id', 'currency', 'item_key', 'service_month',
        ]) }} as chain_id,
        service_from,
        service_to,
        cast(quantity as decimal(38, 6)) as quantity,
        cast(unit_price as decimal(18, 6)) as unit_price,
        cast(amount_exact as decimal(38, 12)) as amount_exact,
        amount,
        price_book,
        price_entry_id,
        cast(null as {{ dbt.type_string() }}) as price_set_id,
        0 as events
    from {{ ref('int_plan_fee_lines') }}
    where service_month in (select months.service_month from months)

    union all

    select
        tenant_id,
        tenant_slug,
        currency,
        invoice_date,
        service_month,
        line_type,
        item_key,
        {{ content_hash(["'usage'", 'tenant_id', 'currency', 'price_set_id', 'service_month']) }} as chain_id,
        service_from,
        service_to,
        quantity,
        unit_price,
        amount_exact,
        amount,
        price_book,
        price_entry_id,
        price_set_id,
        events
    from {{ ref('int_usage_lines') }}
    where service_month in (select months.service_month from months)

    union all

    select
        tenant_id,
        tenant_slug,
        currency,
        invoice_date,
        service_month,
        line_type,
        item_key,
        {{ content_hash(["'minimum'", 'tenant_id', 'currency', 'service_month']) }} as chain_id,
        service_from,
        service_to,
        cast(quantity as decimal(38, 6)) as quantity,
        cast(null as decimal(18, 6)) as unit_price,
        amount_exact,
        amount,
        cast(null as {{ dbt.type_string() }}) as price_book,
        cast(null as {{ dbt.type_string() }}) as price_entry_id,
        cast(null as {{ dbt.type_string() }}) as price_set_id,
        0 as events
    from {{ ref('int_minimum_lines') }}
    where service_month in (select months.service_month from months)

),

identified as (

    select
        *,
        {{ content_hash(['chain_id', 'invoice_date']) }} as line_id
    from lines

)

select
    line_id,
    chain_id,
    tenant_id,
    tenant_slug,
    currency,
    invoice_date,
    service_month,
    line_type,
    item_key,
    service_from,
    service_to,
    quantity,
    unit_price,
    amount_exact,
    amount,
    price_book,
    price_entry_id,
    price_set_id,
    events,
    invoice_date > {{ night() }} as is_draft,
    -- Every line of a chain but its first names that first one.
    nullif(first_value(line_id) over (partition by chain_id order by invoice_date), line_id) as corrects_line_id
from identified
