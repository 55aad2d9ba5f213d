-- A month is made anew only if its lines changed.
{{ config(**by_service_month('int_billed_months')) }}

with

months as (

    {{ months_to_make('int_billed_months') }}

),

totals as (

    select * from {{ ref('int_usage_tier_totals') }}
    where service_month in (select months.service_month from months)

),

-- What a date adds to a tier is its total less that of the date before, which stands there as a taking back.
moves as (

    select
        tenant_id,
        currency,
        price_set_id,
        service_month,
        invoice_date,
        tier,
        units,
        flat_fee,
        amount_exact
    from totals

    union all

    select
        tenant_id,
        currency,
        price_set_id,
        service_month,
        next_date as invoice_date,
        tier,
        -units as units,
        -flat_fee as flat_fee,
        -amount_exact as amount_exact
    from totals
    where next_date is not null

),

differences as (

    select
        tenant_id,
        currency,
        price_set_id,
        service_month,
        invoice_date,
        tier,
        sum(units) as units,
        sum(flat_fee) as flat_fee,
        sum(amount_exact) as amount_exact,
        count(*) as n_totals
    from moves
    group by tenant_id, currency, price_set_id, service_month, invoice_date, tier

)

select
    lines.line_id,
    cast(differences.tier as bigint) as tier,
    tiers.price_entry_id,
    tiers.pricing_model,
    tiers.tier_from,
    tiers.tier_up_to,
    cast(differences.units as decimal(38, 6)) as units,
    tiers.unit_price,
    cast(differences.flat_fee as decimal(18, 6)) as flat_fee,
    cast(differences.amount_exact as decimal(38, 12)) as amount_exact,
    differences.currency,
    differences.service_month
from differences
inner join {{ ref('int_price_tiers') }} as tiers
    on
        differences.price_set_id = tiers.price_set_id
        and differences.tier = tiers.tier
inner join {{ ref('int_invoice_lines') }} as lines
    on
        differences.tenant_id = lines.tenant_id
        and differences.currency = lines.currency
        and differences.price_set_id = lines.price_set_id
        and differences.service_month = lines.service_month
        and differences.invoice_date = lines.invoice_date
-- A tier that was entered before, and that this date leaves as it is, is not in the line.
where
    differences.n_totals = 1
    or differences.units <> 0
    or differences.flat_fee <> 0
    or differences.amount_exact <> 0
