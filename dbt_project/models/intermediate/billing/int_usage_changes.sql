-- One row a tenant, price set, service month and invoice date that changes what is charged: the usage known by then.
-- The usage of a month is added up over its invoice dates, so that late and cancelled usage moves the total of its own
-- month.
{{ config(**by_service_month('int_priced_months')) }}

with

months as (

    {{ months_to_make('int_priced_months') }}

),

prices as (

    select *
    from {{ ref('int_usage_prices') }}
    where service_month in (select months.service_month from months)

),

-- What became known counts from its own invoice date on, or from the first that bills its day under the set; it counts
-- no more when another set, another currency or no subscription has its day.
added as (

    select
        prices.service_month,
        prices.usage_price_number,
        usage.known_close,
        sum(usage.quantity) as quantity,
        sum(usage.events) as events
    from {{ ref('int_usage_runs') }} as usage
    inner join prices
        on
            usage.tenant_id = prices.tenant_id
            and usage.item_key = prices.item_key
            and usage.service_month = prices.service_month
            and usage.day_from = prices.day_from
            and usage.day_to = prices.day_to
            and usage.known_close < prices.billed_to
    group by prices.service_month, prices.usage_price_number, usage.known_close

),

counted as (

    select
        prices.usage_price_number,
        prices.tenant_id,
        prices.tenant_slug,
        prices.currency,
        prices.item_key,
        prices.price_set_id,
        prices.service_month,
        prices.day_from,
        prices.day_to,
        greatest(added.known_close, prices.billed_from) as counted_from,
        prices.billed_to as counted_to,
        sum(added.quantity) as quantity,
        sum(added.events) as events
    from added
    inner join prices
        on
            added.service_month = prices.service_month
            and added.usage_price_number = prices.usage_price_number
    group by
        prices.usage_price_number, prices.tenant_id, prices.tenant_slug, prices.currency, prices.item_key,
        prices.price_set_id, prices.service_month, prices.day_from, prices.day_to,
        greatest(added.known_close, prices.billed_from), prices.billed_to

),

-- Where all adds up to nothing, one day's use may stand against another's that was cancelled: that carries events, a
-- use cancelled before it counted does not.
carrying as (

    select distinct
        service_month,
        usage_price_number,
        counted_from
    from (
        select
            counted.service_month,
            counted.usage_price_number,
            counted.counted_from,
            usage.usage_date,
            sum(usage.quantity) as quantity,
            sum(usage.events) as events
        from counted
        inner join prices
            on
                counted.service_month = prices.service_month
                and counted.usage_price_number = prices.usage_price_number
        inner join {{ ref('int_usage_days') }} as usage
            on
                counted.tenant_id = usage.tenant_id
                and counted.item_key = usage.driver_key
                and counted.service_month = usage.service_month
                and counted.day_from <= usage.usage_date
                and counted.day_to > usage.usage_date
                and counted.counted_from = greatest(usage.known_close, prices.billed_from)
        where
            counted.quantity = 0
            and counted.events = 0
        group by counted.service_month, counted.usage_price_number, counted.counted_from, usage.usage_date
    ) as days
    where
        quantity <> 0
        or events > 0

),

changes as (

    select
        counted.tenant_id,
        counted.tenant_slug,
        counted.currency,
        counted.item_key,
        counted.price_set_id,
        counted.service_month,
        counted.counted_from as invoice_date,
        cast(sum(counted.quantity) as decimal(38, 6)) as quantity,
        sum(counted.events) as events,
        max(
            case
                when counted.events > 0 or counted.quantity <> 0 or carrying.usage_price_number is not null then 1
                else 0
            end
        ) as carries
    from counted
    left join carrying
        on
            counted.service_month = carrying.service_month
            and counted.usage_price_number = carrying.usage_price_number
            and counted.counted_from = carrying.counted_from
    where counted.counted_from <= {{ draft_date() }}
    group by
        counted.tenant_id, counted.tenant_slug, counted.currency, counted.item_key, counted.price_set_id,
        counted.service_month, counted.counted_from

    union all

    select
        tenant_id,
        tenant_slug,
        currency,
        item_key,
        price_set_id,
        service_month,
        counted_to as invoice_date,
        cast(-sum(quantity) as decimal(38, 6)) as quantity,
        -sum(events) as events,
        0 as carries
    from counted
    where counted_to <= {{ draft_date() }}
    group by tenant_id, tenant_slug, currency, item_key, price_set_id, service_month, counted_to

),

-- A flat fee is owed without usage, under the set that wins on the last subscribed day, while nothing is used in the
-- month, if its price was known when the month was first billable.
flat_choices as (

    select choices.*
    from {{ ref('int_price_choices') }} as choices
    inner join {{ ref('int_price_tiers') }} as tiers
        on
            choices.price_set_id = tiers.price_set_id
            and tiers.tier = 1
    where
        choices.service_month in (select months.service_month from months)
        and not choices.is_plan
        and not choices.is_broken
        and choices.price_close = choices.first_close
        and tiers.flat_fee > 0

),

flat_service_months as (

    select distinct service_month
    from flat_choices

),

-- Of the days that a date knows as subscribed, the last: each date on which the days may change, and the next one.
flat_months as (

    select
        subscribed.*,
        count(*) over (partition by subscribed.tenant_id, subscribed.service_month) as n_runs
    from {{ ref('int_subscribed_days') }} as subscribed
    inner join flat_service_months as flat on subscribed.service_month = flat.service_month

),

turning_dates as (

    select
        tenant_id,
        service_month,
        billed_from as known_from,
        lead(billed_from) over (partition by tenant_id, service_month order by billed_from) as known_to
    from (
        select
            tenant_id,
            service_month,
            billed_from
        from flat_months
        where n_runs > 1
        union
        select
            tenant_id,
            service_month,
            billed_to as billed_from
        from flat_months
        where n_runs > 1
    ) as dates

),

last_runs as (

    select
        flat_months.tenant_id,
        flat_months.tenant_slug,
        flat_months.currency,
        flat_months.service_month,
        flat_months.first_close,
        flat_months.day_to,
        turning_dates.known_from,
        turning_dates.known_to,
        row_number() over (
            partition by flat_months.tenant_id, flat_months.service_month, turning_dates.known_from
            order by flat_months.day_to desc
        ) as place
    from flat_months
    inner join turning_dates
        on
            flat_months.tenant_id = turning_dates.tenant_id
            and flat_months.service_month = turning_dates.service_month
            and flat_months.billed_from <= turning_dates.known_from
            and flat_months.billed_to > turning_dates.known_from
    where
        flat_months.n_runs > 1
        and turning_dates.known_to is not null

),

last_days as (

    select
        tenant_id,
        tenant_slug,
        currency,
        service_month,
        first_close,
        day_to,
        billed_from as known_from,
        billed_to as known_to
    from flat_months
    where n_runs = 1

    union all

    select
        tenant_id,
        tenant_slug,
        currency,
        service_month,
        first_close,
        day_to,
        known_from,
        known_to
    from last_runs
    where place = 1

),

owed_flat as (

    select
        last_days.tenant_id,
        last_days.tenant_slug,
        last_days.currency,
        flat_choices.item_key,
        flat_choices.price_set_id,
        last_days.service_month,
        last_days.known_from,
        last_days.known_to
    from last_days
    inner join {{ ref('int_price_profiles') }} as profiles
        on
            last_days.tenant_id = profiles.tenant_id
            and last_days.currency = profiles.currency
            and last_days.service_month = profiles.service_month
            and last_days.first_close = profiles.first_close
            and not profiles.is_plan
    inner join flat_choices
        on
            profiles.profile_id = flat_choices.profile_id
            and profiles.currency = flat_choices.currency
            and profiles.service_month = flat_choices.service_month
            and profiles.first_close = flat_choices.first_close
            and last_days.day_to > flat_choices.day_from
            and last_days.day_to <= flat_choices.day_to
    where last_days.known_from <= {{ draft_date() }}

),

used_items as (

    select
        tenant_id,
        item_key,
        service_month,
        invoice_date,
        sum(events) as events
    from changes
    group by tenant_id, item_key, service_month, invoice_date

),

-- Each invoice date on which it may turn: the first, the last, and all that change the item's usage of the month.
flat_dates as (

    select
        owed_flat.*,
        owed_flat.known_from as invoice_date
    from owed_flat

    union

    select
        owed_flat.*,
        owed_flat.known_to as invoice_date
    from owed_flat
    where owed_flat.known_to <= {{ draft_date() }}

    union

    select
        owed_flat.*,
        used_items.invoice_date
    from owed_flat
    inner join used_items
        on
            owed_flat.tenant_id = used_items.tenant_id
            and owed_flat.item_key = used_items.item_key
            and owed_flat.service_month = used_items.service_month
            and owed_flat.known_from < used_items.invoice_date
            and owed_flat.known_to > used_items.invoice_date

),

flat_states as (

    select
        flat_dates.tenant_id,
        flat_dates.tenant_slug,
        flat_dates.currency,
        flat_dates.item_key,
        flat_dates.price_set_id,
        flat_dates.service_month,
        flat_dates.invoice_date,
        flat_dates.invoice_date < flat_dates.known_to and coalesce(sum(used_items.events), 0) = 0 as is_owed
    from flat_dates
    left join used_items
        on
            flat_dates.tenant_id = used_items.tenant_id
            and flat_dates.item_key = used_items.item_key
            and flat_dates.service_month = used_items.service_month
            and flat_dates.invoice_date >= used_items.invoice_date
    group by
        flat_dates.tenant_id, flat_dates.tenant_slug, flat_dates.currency, flat_dates.item_key,
        flat_dates.price_set_id, flat_dates.service_month, flat_dates.known_to, flat_dates.invoice_date

),

dates as (

    select
        tenant_id,
        tenant_slug,
        currency,
        item_key,
        price_set_id,
        service_month,
        invoice_date,
        quantity,
        events,
        carries,
        false as is_owed
    from changes

    union all

    select
        tenant_id,
        tenant_slug,
        currency,
        item_key,
        price_set_id,
        service_month,
        invoice_date,
        0 as quantity,
        0 as events,
        0 as carries,
        is_owed
    from flat_states

),

by_date as (

    select
        tenant_id,
        {{ dbt.any_value('tenant_slug') }} as tenant_slug,
        currency,
        item_key,
        price_set_id,
        service_month,
        invoice_date,
        cast(sum(quantity) as decimal(38, 6)) as quantity,
        cast(sum(events) as bigint) as events,
        max(carries) = 1 as is_carrying,
        max(case when is_owed then 1 else 0 end) as is_owed
    from dates
    group by tenant_id, currency, item_key, price_set_id, service_month, invoice_date

)

select
    tenant_id,
    tenant_slug,
    currency,
    item_key,
    price_set_id,
    service_month,
    invoice_date,
    quantity,
    events,
    -- Events entered the set on this date, though with others that left it they may add up to nothing.
    is_carrying,
    cast(
        sum(quantity) over (
            partition by tenant_id, currency, item_key, price_set_id, service_month order by invoice_date
        ) as decimal(38, 6)
    ) as quantity_to_date,
    -- A set without usage charges nothing, unless its flat fee is owed without.
    (
        is_owed = 1
        or sum(events) over (
            partition by tenant_id, currency, item_key, price_set_id, service_month order by invoice_date
        ) > 0
    ) as is_charged,
    lead(invoice_date) over (
        partition by tenant_id, currency, item_key, price_set_id, service_month order by invoice_date
    ) as next_date
from by_date
