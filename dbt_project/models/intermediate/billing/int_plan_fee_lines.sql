-- One row a subscription, month and invoice that charges or corrects its plan fee. What is billed is stated as a total
-- for each invoice date that changes it; a line is the difference to the total before.
with

months as (

    select
        months.*,
        choices.price_set_id,
        choices.is_broken,
        choices.price_close
    from {{ ref('int_subscription_months') }} as months
    left join {{ ref('int_price_choices') }} as choices
        on
            months.tenant_id = choices.tenant_id
            and months.currency = choices.currency
            and months.item_key = choices.item_key
            and months.covered_from = choices.price_date

),

-- The entry of the winning book, else, in US dollars, the price of the plan itself.
priced as (

    select
        months.*,
        tiers.price_book,
        tiers.price_entry_id,
        case
            when tiers.price_set_id is not null then tiers.unit_price
            else cast(plans.price_monthly as decimal(18, 6))
        end as monthly_price,
        case when tiers.price_set_id is not null then months.price_close else plans.known_close end as priced_close
    from months
    left join {{ ref('int_price_tiers') }} as tiers
        on
            months.price_set_id = tiers.price_set_id
            and tiers.tier = 1
    left join {{ ref('stg_plans') }} as plans
        on
            months.plan = plans.plan
            and months.currency = 'USD'
    where not coalesce(months.is_broken, false)

),

totals as (

    -- In advance: the whole month of a plan that is in force on the invoice date.
    select
        *,
        greatest(service_month, priced_close) as invoice_date,
        0 as step,
        days_in_month as days_billed,
        cast(monthly_price as decimal(38, 12)) as fee_exact
    from priced
    where
        covered_from = service_month
        and greatest(known_close, priced_close) <= service_month

    union all

    -- In arrears: the days that it covered after all.
    select
        *,
        greatest(arrears_close, priced_close) as invoice_date,
        1 as step,
        days_covered as days_billed,
        {{ money_ratio('monthly_price', 'days_covered', 'days_in_month') }} as fee_exact
    from priced

),

differences as (

    select
        *,
        {{ round_money('fee_exact', 'currency') }}
        - coalesce(
            lag({{ round_money('fee_exact', 'currency') }}) over (
                partition by subscription_id, service_month order by step
            ),
            0
        ) as amount,
        fee_exact - coalesce(lag(fee_exact) over (partition by subscription_id, service_month order by step), 0)
            as amount_exact,
        days_billed - coalesce(lag(days_billed) over (partition by subscription_id, service_month order by step), 0)
            as quantity
    from totals
    where
        monthly_price is not null
        and invoice_date <= {{ night() }}

)

select
    subscription_id,
    tenant_id,
    tenant_slug,
    currency,
    invoice_date,
    service_month,
    case when step = 0 then 'subscription' else 'proration' end as line_type,
    item_key,
    -- A credit is for the days not covered after all, a charge for those that are.
    case
        when quantity < 0 then covered_to
        when step = 0 then service_month
        else covered_from
    end as service_from,
    case when quantity < 0 or step = 0 then next_month else covered_to end as service_to,
    quantity,
    monthly_price as unit_price,
    amount_exact,
    cast(amount as decimal(18, 2)) as amount,
    price_book,
    price_entry_id
from differences
where amount <> 0
