-- One row a subscription, month, plan and invoice that charges or corrects its plan fee. What is billed is stated as a
-- total for each invoice date that changes it; a line is the difference to the total before.
with

months as (

    select
        months.*,
        choices.price_set_id,
        choices.price_close,
        tiers.unit_price as monthly_price,
        tiers.price_book,
        tiers.price_entry_id
    from {{ ref('int_subscription_months') }} as months
    inner join {{ ref('int_price_profiles') }} as profiles
        on
            months.tenant_id = profiles.tenant_id
            and months.currency = profiles.currency
            and months.service_month = profiles.service_month
            and months.first_fee_close = profiles.first_close
            and profiles.is_plan
    -- The price of the first covered day counts for the whole month.
    inner join {{ ref('int_price_choices') }} as choices
        on
            profiles.profile_id = choices.profile_id
            and profiles.currency = choices.currency
            and profiles.service_month = choices.service_month
            and profiles.first_close = choices.first_close
            and months.item_key = choices.item_key
            and months.covered_from >= choices.day_from
            and months.covered_from < choices.day_to
    inner join {{ ref('int_price_tiers') }} as tiers
        on
            choices.price_set_id = tiers.price_set_id
            and tiers.tier = 1
    where
        choices.is_plan
        and not choices.is_broken

),

totals as (

    -- In advance: the whole month of a plan that is in force on the invoice date.
    select
        *,
        service_month as invoice_date,
        0 as step,
        service_month as billed_from,
        next_month as billed_to,
        days_in_month as days_billed,
        cast(monthly_price as decimal(38, 12)) as fee_exact
    from months
    where
        is_in_advance
        and price_close <= service_month

    union all

    -- In arrears: the days that it covered after all, as each invoice date knows them.
    select
        *,
        greatest(arrears_close, price_close) as invoice_date,
        1 as step,
        covered_from as billed_from,
        covered_to as billed_to,
        days_covered as days_billed,
        {{ money_ratio('monthly_price', 'days_covered', 'days_in_month') }} as fee_exact
    from months
    where greatest(arrears_close, price_close) < ended_close

),

-- A state that no other follows at once leaves the month without a fee.
ends as (

    select
        months.*,
        months.ended_close as invoice_date,
        1 as step,
        months.covered_from as billed_from,
        months.covered_from as billed_to,
        0 as days_billed,
        cast(0 as decimal(38, 12)) as fee_exact
    from months
    left join totals as later
        on
            months.tenant_id = later.tenant_id
            and months.subscription_id = later.subscription_id
            and months.currency = later.currency
            and months.item_key = later.item_key
            and months.service_month = later.service_month
            and months.ended_close = later.invoice_date
    where
        months.ended_close > months.service_month
        and later.tenant_id is null

),

stated as (

    select * from totals

    union all

    select * from ends

),

dated as (

    select
        stated.*,
        {{ round_money('stated.fee_exact', 'stated.currency') }} as fee
    from stated
    where stated.invoice_date <= {{ draft_date() }}

),

-- A state that leaves the fee as it is makes no line: its days are told with the next one that does.
steps as (

    select
        *,
        lag(fee) over (
            partition by tenant_id, subscription_id, currency, item_key, service_month
            order by invoice_date
        ) as fee_before
    from dated

),

differences as (

    select
        *,
        fee - coalesce(lag(fee) over fees, 0) as amount,
        fee_exact - coalesce(lag(fee_exact) over fees, 0) as amount_exact,
        days_billed - coalesce(lag(days_billed) over fees, 0) as quantity,
        coalesce(lag(days_billed) over fees, 0) as days_before,
        lag(billed_from) over fees as from_before,
        lag(billed_to) over fees as to_before
    from steps
    where fee <> coalesce(fee_before, 0)
    window
        fees as (
            partition by tenant_id, subscription_id, currency, item_key, service_month
            order by invoice_date
        )

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
        when days_before = 0 or billed_to = to_before and billed_from = from_before then billed_from
        when days_billed = 0 then from_before
        when billed_from = from_before then least(billed_to, to_before)
        else least(billed_from, from_before)
    end as service_from,
    case
        when days_before = 0 or billed_to = to_before and billed_from = from_before then billed_to
        when days_billed = 0 then to_before
        when billed_to = to_before then greatest(billed_from, from_before)
        else greatest(billed_to, to_before)
    end as service_to,
    quantity,
    monthly_price as unit_price,
    cast(amount_exact as decimal(38, 12)) as amount_exact,
    cast(amount as decimal(18, 2)) as amount,
    price_book,
    price_entry_id
from differences
