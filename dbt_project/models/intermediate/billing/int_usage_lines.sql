-- One row a tenant, price set, service month and invoice: usage in arrears, and later what became known of it since.
{{ config(**by_service_month('int_priced_months')) }}

with

months as (

    {{ months_to_make('int_priced_months') }}

),

rated as (

    select
        tenant_id,
        currency,
        price_set_id,
        service_month,
        invoice_date,
        cast(sum(amount_exact) as decimal(38, 12)) as exact_to_date
    from {{ ref('int_usage_tier_totals') }}
    where service_month in (select months.service_month from months)
    group by tenant_id, currency, price_set_id, service_month, invoice_date

),

totals as (

    select
        changes.*,
        coalesce(rated.exact_to_date, 0) as exact_to_date,
        {{ round_money('coalesce(rated.exact_to_date, 0)', 'changes.currency') }} as amount_to_date
    from {{ ref('int_usage_changes') }} as changes
    left join rated
        on
            changes.tenant_id = rated.tenant_id
            and changes.currency = rated.currency
            and changes.price_set_id = rated.price_set_id
            and changes.service_month = rated.service_month
            and changes.invoice_date = rated.invoice_date
    where changes.service_month in (select months.service_month from months)

),

differences as (

    select
        *,
        exact_to_date - coalesce(
            lag(exact_to_date) over (
                partition by tenant_id, currency, price_set_id, service_month order by invoice_date
            ),
            0
        ) as amount_exact,
        amount_to_date - coalesce(
            lag(amount_to_date) over (
                partition by tenant_id, currency, price_set_id, service_month order by invoice_date
            ),
            0
        ) as amount
    from totals

)

select
    differences.tenant_id,
    differences.tenant_slug,
    differences.currency,
    differences.invoice_date,
    differences.service_month,
    differences.price_set_id,
    case
        when differences.invoice_date = {{ next_month_of('differences.service_month') }} then 'usage'
        else 'adjustment'
    end as line_type,
    differences.item_key,
    differences.service_month as service_from,
    {{ next_month_of('differences.service_month') }} as service_to,
    differences.quantity,
    differences.events,
    case when tiers.pricing_model = 'per_unit' then tiers.unit_price end as unit_price,
    cast(differences.amount_exact as decimal(38, 12)) as amount_exact,
    cast(differences.amount as decimal(18, 2)) as amount,
    tiers.price_book,
    tiers.price_entry_id
from differences
inner join {{ ref('int_price_tiers') }} as tiers
    on
        differences.price_set_id = tiers.price_set_id
        and tiers.tier = 1
-- A line that carries events is kept at 0.00, and so is one that takes back a use of no units.
where
    differences.amount <> 0
    or differences.quantity <> 0
    or differences.events <> 0
    or differences.is_carrying
