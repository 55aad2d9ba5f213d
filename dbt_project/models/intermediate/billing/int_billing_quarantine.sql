-- One row an input row of billing that breaks one of the rules that only billing can check: what the loader accepted,
-- and still cannot be billed. Nothing here is final: a row leaves as soon as what it lacks becomes known.
with

events as (

    select * from {{ ref('int_usage_events_classified') }}

),

-- Whether usage can be billed depends on its day and item alone. What happens after the night's month is not judged
-- yet: prices are chosen for the months that have begun.
unbilled_days as (

    select
        days.tenant_id,
        days.driver_key,
        days.usage_date,
        subscriptions.currency,
        choices.price_set_id,
        case when subscriptions.subscription_id is null then 'no_subscription' else 'unpriced' end as rule
    from (
        select distinct
            tenant_id,
            driver_key,
            usage_date
        from events
        where status = 'counted'
    ) as days
    left join {{ ref('int_subscriptions_accepted') }} as subscriptions
        on
            days.tenant_id = subscriptions.tenant_id
            and days.usage_date >= subscriptions.started_on
            and days.usage_date < subscriptions.covered_to
    left join {{ ref('int_price_choices') }} as choices
        on
            days.tenant_id = choices.tenant_id
            and days.driver_key = choices.item_key
            and days.usage_date = choices.price_date
            and subscriptions.currency = choices.currency
    where
        subscriptions.subscription_id is null
        or (
            coalesce(choices.is_broken, true)
            and {{ month_of('days.usage_date') }} <= {{ night() }}
        )

),

refused_events as (

    select
        events.tenant_id,
        events.event_id,
        events.service_month,
        events.received_at,
        events.status as rule,
        events.cancels_event_id as value,
        case events.status
            when 'cancels_itself' then 'the event cancels itself; name the event to cancel'
            when 'already_cancelled' then 'its event is cancelled already; the first cancellation counts'
            else
                'no use of this tenant, driver and month has this id yet; it counts as soon as one is known'
        end as reason
    from events
    where events.status in ('cancels_nothing', 'cancels_itself', 'already_cancelled')

    union all

    select
        events.tenant_id,
        events.event_id,
        events.service_month,
        events.received_at,
        unbilled_days.rule,
        case
            when unbilled_days.rule = 'unpriced' then events.driver_key
            else cast(events.occurred_at as {{ dbt.type_string() }})
        end as value,
        case
            when unbilled_days.rule = 'no_subscription' then 'the tenant has no subscription on this day'
            when unbilled_days.price_set_id is not null
                then 'the price set that wins on this day is broken; correct its tiers'
            else
                'no price book of the tenant has a price in ' || coalesce(unbilled_days.currency, 'its currency')
                || ' on this day'
        end
        || coalesce(
            '; not billed, cost ' || {{ amount_text('events.quantity * drivers.unit_cost') }} || ' USD', '; not billed'
        ) as reason
    from events
    inner join unbilled_days
        on
            events.tenant_id = unbilled_days.tenant_id
            and events.driver_key = unbilled_days.driver_key
            and events.usage_date = unbilled_days.usage_date
    left join {{ ref('stg_cost_drivers') }} as drivers on events.driver_key = drivers.driver_key
    where events.status = 'counted'

),

-- The row known earliest of all that overlap with one left out is the one to look at.
overlapped as (

    select
        refused.subscription_id,
        earlier.subscription_id as earlier_id,
        row_number() over (
            partition by refused.subscription_id
            order by earlier.known_night, earlier.started_on, earlier.subscription_id
        ) as place
    from {{ ref('stg_subscriptions') }} as refused
    left join {{ ref('int_subscriptions_accepted') }} as accepted
        on refused.subscription_id = accepted.subscription_id
    inner join {{ ref('stg_subscriptions') }} as earlier
        on
            refused.tenant_id = earlier.tenant_id
            and refused.subscription_id <> earlier.subscription_id
            and refused.started_on < coalesce(earlier.ended_on, date '9999-12-31')
            and earlier.started_on < coalesce(refused.ended_on, date '9999-12-31')
    where
        accepted.subscription_id is null
        and refused.started_on < coalesce(refused.ended_on, date '9999-12-31')

),

-- The plan's price on the first day that the subscription covers of a month: of a book, else of the plan itself.
unpriced_months as (

    select
        months.subscription_id,
        months.currency,
        min(months.service_month) as first_month
    from {{ ref('int_subscription_months') }} as months
    left join {{ ref('int_price_choices') }} as choices
        on
            months.tenant_id = choices.tenant_id
            and months.currency = choices.currency
            and months.item_key = choices.item_key
            and months.covered_from = choices.price_date
    left join {{ ref('stg_plans') }} as plans
        on
            months.plan = plans.plan
            and months.currency = 'USD'
    where
        choices.is_broken
        or (
            choices.price_set_id is null
            and plans.price_monthly is null
        )
    group by months.subscription_id, months.currency

),

-- A refund pays out what its credit note has left; what it says beyond that is told, and the row stays.
refused_payments as (

    select
        applied.payment_id,
        case when applied.status = 'counted' then 'excess_refund' else applied.status end as rule,
        case
            when applied.status = 'wrong_currency' then payments.currency
            when applied.status = 'unknown_invoice' then payments.invoice_id
            else cast(applied.amount as {{ dbt.type_string() }})
        end as value,
        case
            when applied.status = 'unknown_invoice' then 'no invoice has this id yet'
            when applied.status = 'wrong_currency' then 'the invoice is in ' || applied.currency
            else 'the credit note had ' || cast(coalesce(uses.amount, 0) as {{ dbt.type_string() }}) || ' left'
        end
        || '; not counted, '
        || cast(
            case when applied.status = 'counted' then applied.amount + coalesce(uses.amount, 0) else applied.amount end
            as {{ dbt.type_string() }}
        )
        || coalesce(' ' || payments.currency, '') as reason,
        payments.source_file,
        payments.source_line,
        payments.row_json,
        payments.received_at
    from {{ ref('int_payments_applied') }} as applied
    inner join {{ ref('stg_payments') }} as payments on applied.payment_id = payments.payment_id
    left join {{ ref('int_credit_uses') }} as uses on applied.payment_id = uses.payment_id
    where
        applied.status <> 'counted'
        or (
            applied.credit_note_id is not null
            and applied.amount + coalesce(uses.amount, 0) < 0
        )

),

refused as (

    select
        'usage_events' as table_name,
        events.source_file,
        events.source_line,
        refused_events.rule,
        refused_events.value,
        refused_events.reason,
        {{ row_json('supply_chain', 'usage_events', 'events', {'quantity': 'received_quantity'}) }} as row_json,
        events.received_at
    from refused_events
    inner join {{ ref('stg_usage_events') }} as events
        on
            refused_events.tenant_id = events.tenant_id
            and refused_events.event_id = events.event_id
            and refused_events.service_month = events.service_month
            and refused_events.received_at = events.received_at

    union all

    select
        'subscriptions' as table_name,
        subscriptions.source_file,
        subscriptions.source_line,
        'subscription_overlap' as rule,
        cast(subscriptions.started_on as {{ dbt.type_string() }}) as value,
        'covers days that the tenant''s subscription ' || overlapped.earlier_id
        || ', known earlier, covers; end one the day the other starts' as reason,
        subscriptions.row_json,
        subscriptions.received_at
    from overlapped
    inner join {{ ref('stg_subscriptions') }} as subscriptions
        on overlapped.subscription_id = subscriptions.subscription_id
    where overlapped.place = 1

    union all

    select
        'subscriptions' as table_name,
        subscriptions.source_file,
        subscriptions.source_line,
        'unpriced' as rule,
        subscriptions.plan as value,
        'the plan has no price in ' || coalesce(unpriced_months.currency, 'its currency') || ' from '
        || cast(unpriced_months.first_month as {{ dbt.type_string() }}) || ' on; its fee is not billed' as reason,
        subscriptions.row_json,
        subscriptions.received_at
    from unpriced_months
    inner join {{ ref('stg_subscriptions') }} as subscriptions
        on unpriced_months.subscription_id = subscriptions.subscription_id

    union all

    select
        'payments' as table_name,
        source_file,
        source_line,
        rule,
        value,
        reason,
        row_json,
        received_at
    from refused_payments

)

select
    refused.table_name,
    refused.source_file,
    refused.source_line,
    refused.rule,
    rules.column_name,
    refused.value,
    refused.reason,
    refused.row_json,
    refused.received_at
from refused
inner join {{ ref('int_billing_rules') }} as rules
    on
        refused.table_name = rules.table_name
        and refused.rule = rules.rule
