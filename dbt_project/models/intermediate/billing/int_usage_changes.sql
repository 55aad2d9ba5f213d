-- One row a tenant, price set, service month and invoice date that changes what is charged: the usage known by then.
-- The usage of a month is added up over its invoice dates, so that late and cancelled usage moves the total of its own
-- month.
with

usage as (

    select
        events.tenant_id,
        events.tenant_slug,
        events.driver_key as item_key,
        events.service_month,
        events.quantity,
        choices.currency,
        choices.price_set_id,
        greatest(subscribed.arrears_close, choices.price_close, {{ closing_of('events.known_night') }}) as billed_on,
        {{ closing_of('events.cancelled_night') }} as cancelled_close
    from {{ ref('int_usage_events_classified') }} as events
    inner join {{ ref('int_subscription_months') }} as subscribed
        on
            events.tenant_id = subscribed.tenant_id
            and events.usage_date >= subscribed.covered_from
            and events.usage_date < subscribed.covered_to
    inner join {{ ref('int_price_choices') }} as choices
        on
            events.tenant_id = choices.tenant_id
            and subscribed.currency = choices.currency
            and events.driver_key = choices.item_key
            and events.usage_date = choices.price_date
    where
        events.status in ('counted', 'cancelled')
        and not choices.is_broken

),

deltas as (

    select
        tenant_id,
        tenant_slug,
        currency,
        item_key,
        price_set_id,
        service_month,
        billed_on as invoice_date,
        quantity,
        1 as events
    from usage
    where cancelled_close is null or cancelled_close > billed_on

    union all

    select
        tenant_id,
        tenant_slug,
        currency,
        item_key,
        price_set_id,
        service_month,
        cancelled_close as invoice_date,
        -quantity as quantity,
        -1 as events
    from usage
    where cancelled_close > billed_on

),

changes as (

    select
        tenant_id,
        tenant_slug,
        currency,
        item_key,
        price_set_id,
        service_month,
        invoice_date,
        cast(sum(quantity) as decimal(38, 6)) as quantity,
        sum(events) as events
    from deltas
    where invoice_date <= {{ night() }}
    group by tenant_id, tenant_slug, currency, item_key, price_set_id, service_month, invoice_date

),

-- A flat fee is owed without usage, under the set that wins on the last subscribed day, while nothing is used in the
-- month.
last_days as (

    select
        tenant_id,
        tenant_slug,
        currency,
        service_month,
        arrears_close,
        cast({{ dbt.dateadd('day', -1, 'covered_to') }} as date) as last_day
    from (
        select
            *,
            row_number() over (partition by tenant_id, service_month order by covered_to desc) as place
        from {{ ref('int_subscription_months') }}
    ) as months
    where place = 1

),

owed_flat as (

    select
        last_days.tenant_id,
        last_days.tenant_slug,
        last_days.currency,
        choices.item_key,
        choices.price_set_id,
        last_days.service_month,
        last_days.arrears_close
    from last_days
    inner join {{ ref('int_price_choices') }} as choices
        on
            last_days.tenant_id = choices.tenant_id
            and last_days.currency = choices.currency
            and last_days.last_day = choices.price_date
            and last_days.arrears_close = choices.price_close
    inner join {{ ref('int_price_tiers') }} as tiers
        on
            choices.price_set_id = tiers.price_set_id
            and tiers.tier = 1
    where
        not choices.is_broken
        and tiers.flat_fee > 0
        and choices.item_key not like 'plan:%'
        and last_days.arrears_close <= {{ night() }}

),

-- Each invoice date on which it may turn: the first, and all that change the item's usage of the month.
flat_dates as (

    select
        owed_flat.*,
        owed_flat.arrears_close as invoice_date
    from owed_flat

    union

    select
        owed_flat.*,
        changes.invoice_date
    from owed_flat
    inner join changes
        on
            owed_flat.tenant_id = changes.tenant_id
            and owed_flat.item_key = changes.item_key
            and owed_flat.service_month = changes.service_month
            and owed_flat.arrears_close < changes.invoice_date

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
        coalesce(sum(changes.events), 0) = 0 as is_owed
    from flat_dates
    left join changes
        on
            flat_dates.tenant_id = changes.tenant_id
            and flat_dates.item_key = changes.item_key
            and flat_dates.service_month = changes.service_month
            and flat_dates.invoice_date >= changes.invoice_date
    group by
        flat_dates.tenant_id, flat_dates.tenant_slug, flat_dates.currency, flat_dates.item_key,
        flat_dates.price_set_id, flat_dates.service_month, flat_dates.invoice_date

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
        is_owed
    from flat_states

),

by_date as (

    select
        tenant_id,
        tenant_slug,
        currency,
        item_key,
        price_set_id,
        service_month,
        invoice_date,
        cast(sum(quantity) as decimal(38, 6)) as quantity,
        sum(events) as events,
        max(case when is_owed then 1 else 0 end) as is_owed
    from dates
    group by tenant_id, tenant_slug, currency, item_key, price_set_id, service_month, invoice_date

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
    ) as is_charged
from by_date
