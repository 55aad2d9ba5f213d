-- One row a usage total and tier of its price set that it enters: units, flat fee and exact amount of the tier to date.
{{ config(**by_service_month('int_priced_months')) }}

with

months as (

    {{ months_to_make('int_priced_months') }}

),

totals as (

    select
        changes.tenant_id,
        changes.currency,
        changes.price_set_id,
        changes.service_month,
        changes.invoice_date,
        changes.next_date,
        changes.quantity_to_date,
        tiers.tier,
        tiers.tier_from,
        tiers.tier_bound,
        tiers.tier_up_to,
        tiers.pricing_model,
        tiers.unit_price,
        tiers.flat_fee,
        tiers.package_size,
        tiers.price_entry_id,
        cast(greatest(changes.quantity_to_date - tiers.free_units, 0) as decimal(38, 6)) as billable
    from {{ ref('int_usage_changes') }} as changes
    inner join {{ ref('int_price_tiers') }} as tiers on changes.price_set_id = tiers.price_set_id
    where
        changes.service_month in (select months.service_month from months)
        and changes.is_charged

),

units as (

    select
        *,
        case
            when pricing_model = 'graduated' then cast(least(billable, tier_bound) - tier_from as decimal(38, 6))
            when pricing_model = 'package'
                then cast({{ package_count('billable', 'package_size') }} as decimal(38, 6))
            else cast(billable as decimal(38, 6))
        end as units
    from totals
    where
        -- A total exactly at a bound stays in the tier below it; the first tier holds 0 too.
        (tier = 1 or billable > tier_from)
        and (pricing_model <> 'volume' or billable <= tier_bound)

)

select
    tenant_id,
    currency,
    price_set_id,
    service_month,
    invoice_date,
    next_date,
    tier,
    pricing_model,
    price_entry_id,
    tier_from,
    tier_up_to,
    units,
    unit_price,
    flat_fee,
    cast(units * unit_price + flat_fee as decimal(38, 12)) as amount_exact
from units
