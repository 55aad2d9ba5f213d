-- Law 4: the lines of a closed month sum to what one invoice would hold had everything come in time: its usage rated
-- once, in one step, its minimum stated once, its plan fees for all their days.
with

lines as (

    select * from {{ ref('int_invoice_lines') }}
    where {{ next_month_of('service_month') }} <= {{ night() }}

),

-- What is charged of each set at the night.
usage_totals as (

    select
        tenant_id,
        currency,
        price_set_id,
        service_month,
        quantity_to_date,
        is_charged,
        row_number() over (
            partition by tenant_id, currency, price_set_id, service_month order by invoice_date desc
        ) as place
    from {{ ref('int_usage_changes') }}
    where invoice_date <= {{ night() }}

),

rated as (

    select
        usage_totals.tenant_id,
        usage_totals.currency,
        usage_totals.price_set_id,
        usage_totals.service_month,
        sum(
            case
                when not usage_totals.is_charged then 0
                when tiers.pricing_model = 'per_unit'
                    then greatest(usage_totals.quantity_to_date - tiers.free_units, 0) * tiers.unit_price
                when tiers.pricing_model = 'package'
                    then
                        -- As exact as the other branches, or those are cut to its scale.
                        cast({{ package_count(
                            'greatest(usage_totals.quantity_to_date - tiers.free_units, 0)', 'tiers.package_size'
                        ) }} * tiers.unit_price as decimal(38, 12))
                when
                    tiers.tier > 1
                    and usage_totals.quantity_to_date - tiers.free_units <= tiers.tier_from
                    then 0
                when tiers.pricing_model = 'graduated'
                    then
                        tiers.flat_fee + tiers.unit_price * (
                            least(greatest(usage_totals.quantity_to_date - tiers.free_units, 0), tiers.tier_bound)
                            - tiers.tier_from
                        )
                when usage_totals.quantity_to_date - tiers.free_units <= tiers.tier_bound
                    then
                        tiers.flat_fee
                        + tiers.unit_price * greatest(usage_totals.quantity_to_date - tiers.free_units, 0)
                else 0
            end
        ) as amount_exact
    from usage_totals
    inner join {{ ref('int_price_tiers') }} as tiers on usage_totals.price_set_id = tiers.price_set_id
    where usage_totals.place = 1
    group by
        usage_totals.tenant_id, usage_totals.currency, usage_totals.price_set_id, usage_totals.service_month

),

billed_usage as (

    select
        tenant_id,
        currency,
        price_set_id,
        service_month,
        sum(amount) as amount,
        sum(quantity) as quantity
    from lines
    where price_set_id is not null
    group by tenant_id, currency, price_set_id, service_month

),

usage_checks as (

    select
        coalesce(rated.tenant_id, billed_usage.tenant_id) as tenant_id,
        coalesce(rated.currency, billed_usage.currency) as currency,
        coalesce(rated.service_month, billed_usage.service_month) as service_month,
        coalesce({{ round_money('rated.amount_exact', 'rated.currency') }}, 0) as expected,
        coalesce(billed_usage.amount, 0) as found
    from rated
    full outer join billed_usage
        on
            rated.tenant_id = billed_usage.tenant_id
            and rated.currency = billed_usage.currency
            and rated.price_set_id = billed_usage.price_set_id
            and rated.service_month = billed_usage.service_month
    where coalesce(rated.service_month, billed_usage.service_month) < {{ month_of(night()) }}

),

usage_sums as (

    select
        tenant_id,
        currency,
        service_month,
        sum(amount) as amount
    from billed_usage
    group by tenant_id, currency, service_month

),

-- The commitments of the days covered, as the last invoice date knows them.
commitments as (

    select
        tenant_id,
        currency,
        service_month,
        sum(minimum_commitment * days_covered) as committed_days,
        max(days_in_month) as days_in_month
    from {{ ref('int_subscription_months') }}
    where
        minimum_commitment > 0
        and arrears_close <= {{ night() }}
        and ended_close > {{ month_of(night()) }}
        and next_month <= {{ night() }}
        and arrears_close < ended_close
    group by tenant_id, currency, service_month

),

minimums as (

    select
        tenant_id,
        currency,
        service_month,
        sum(amount) as amount
    from lines
    where item_key = 'minimum'
    group by tenant_id, currency, service_month

),

minimum_checks as (

    select
        coalesce(commitments.tenant_id, minimums.tenant_id) as tenant_id,
        coalesce(commitments.currency, minimums.currency) as currency,
        coalesce(commitments.service_month, minimums.service_month) as service_month,
        coalesce(
            greatest(
                {{ round_money(
                    money_ratio('commitments.committed_days', 1, 'commitments.days_in_month'), 'commitments.currency'
                ) }} - coalesce(usage_sums.amount, 0),
                0
            ),
            0
        ) as expected,
        coalesce(minimums.amount, 0) as found
    from commitments
    full outer join minimums
        on
            commitments.tenant_id = minimums.tenant_id
            and commitments.currency = minimums.currency
            and commitments.service_month = minimums.service_month
    left join usage_sums
        on
            commitments.tenant_id = usage_sums.tenant_id
            and commitments.currency = usage_sums.currency
            and commitments.service_month = usage_sums.service_month

),

-- Of one plan of a subscription: the monthly price for the days that its lines bill in all.
fees as (

    select
        chain_id,
        min(tenant_id) as tenant_id,
        min(currency) as currency,
        min(service_month) as service_month,
        sum(quantity) as days,
        max(unit_price) as monthly_price,
        min(unit_price) as lowest_price,
        sum(amount) as amount
    from lines
    where
        price_set_id is null
        and item_key <> 'minimum'
    group by chain_id

),

fee_checks as (

    select
        tenant_id,
        currency,
        service_month,
        {{ round_money(
            money_ratio(
                'monthly_price', 'days',
                dbt.datediff('service_month', next_month_of('service_month'), 'day')
            ),
            'currency'
        ) }} as expected,
        amount as found,
        days,
        monthly_price,
        lowest_price
    from fees

)

select
    tenant_id as broken_by,
    currency,
    service_month,
    'usage' as kind,
    expected,
    found
from usage_checks
where expected <> found

union all

select
    tenant_id as broken_by,
    currency,
    service_month,
    'minimum' as kind,
    expected,
    found
from minimum_checks
where expected <> found

union all

select
    tenant_id as broken_by,
    currency,
    service_month,
    'plan fee' as kind,
    expected,
    found
from fee_checks
where
    expected <> found
    or days < 0
    or monthly_price <> lowest_price
-- depends_on: {{ ref('billing_certificate') }}
