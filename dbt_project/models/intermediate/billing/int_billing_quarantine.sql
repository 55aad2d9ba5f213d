-- One row an input row of billing that breaks one of the rules that only billing can check: what the loader accepted,
-- and still cannot be billed. Nothing here is final: a row leaves as soon as what it lacks becomes known.
with

-- Of the few days that have any, the events that are refused: a cancellation that takes back nothing, or a use that
-- counts and cannot be billed. The one join to all events: what they say as JSON is made of these alone.
refused_events as (

    select
        events.source_file,
        events.source_line,
        coalesce(own.status, days.rule) as rule,
        case
            when own.status is not null then events.cancels_event_id
            when days.rule = 'unpriced' then events.driver_key
            else cast(events.occurred_at as {{ dbt.type_string() }})
        end as value,
        case own.status
            when 'cancels_itself' then 'the event cancels itself; name the event to cancel'
            when 'already_cancelled' then 'its event is cancelled already; the first cancellation counts'
            when 'cancels_nothing'
                then 'no use of this tenant, driver and month has this id yet; it counts as soon as one is known'
            else
                days.reason || coalesce(
                    '; not billed, cost ' || {{ amount_text('events.quantity * drivers.unit_cost') }} || ' USD',
                    '; not billed'
                )
        end as reason,
        {{ row_json('supply_chain', 'usage_events', 'events', {'quantity': 'received_quantity'}) }} as row_json,
        events.received_at
    from {{ ref('stg_usage_events') }} as events
    inner join {{ ref('int_unbilled_days') }} as days
        on
            events.tenant_id = days.tenant_id
            and events.driver_key = days.driver_key
            and events.usage_date = days.usage_date
    left join {{ ref('int_usage_cancellations') }} as own
        on
            events.tenant_id = own.tenant_id
            and events.event_id = own.event_id
            and events.service_month = own.service_month
    left join {{ ref('int_usage_cancellations') }} as cancelled_by
        on
            events.tenant_id = cancelled_by.tenant_id
            and events.event_id = cancelled_by.cancels_event_id
            and events.service_month = cancelled_by.service_month
            and events.driver_key = cancelled_by.driver_key
            and cancelled_by.status = 'cancellation'
    left join {{ ref('stg_cost_drivers') }} as drivers
        on
            events.driver_key = drivers.driver_key
            and events.usage_date >= drivers.used_from
            and events.usage_date < drivers.used_to
    where
        own.status <> 'cancellation'
        or (
            own.status is null
            and cancelled_by.event_id is null
            and days.rule is not null
        )

),

-- The newest version of a subscription that is not in force, and the first in force that has its days.
overlapped as (

    select
        refused.subscription_id,
        refused.known_night,
        standing.subscription_id as standing_id,
        row_number() over (
            partition by refused.subscription_id, refused.known_night
            order by standing.accepted_night, standing.started_on, standing.subscription_id
        ) as place
    from {{ ref('stg_subscriptions') }} as refused
    left join {{ ref('int_subscription_states') }} as accepted
        on
            refused.tenant_id = accepted.tenant_id
            and refused.subscription_id = accepted.subscription_id
            and refused.known_night = accepted.known_night
            and accepted.replaced_night is null
    inner join {{ ref('int_subscription_states') }} as standing
        on
            refused.tenant_id = standing.tenant_id
            and refused.subscription_id <> standing.subscription_id
            and refused.started_on < standing.covered_to
            and refused.covered_to > standing.started_on
    where
        accepted.subscription_id is null
        and refused.ended_night is null
        and standing.replaced_night is null
        and standing.started_on < standing.covered_to
        and refused.started_on < refused.covered_to

),

-- The plan's price on the first day that the subscription covers of a month: of a book, else of the plan itself.
unpriced_months as (

    select
        months.subscription_id,
        months.currency,
        max(choices.broken_reason) as broken_reason,
        min(months.service_month) as first_month
    from {{ ref('int_subscription_months') }} as months
    left join {{ ref('int_price_profiles') }} as profiles
        on
            months.tenant_id = profiles.tenant_id
            and months.currency = profiles.currency
            and months.service_month = profiles.service_month
            and months.first_fee_close = profiles.first_close
            and profiles.is_plan
    left join {{ ref('int_price_choices') }} as choices
        on
            profiles.profile_id = choices.profile_id
            and profiles.currency = choices.currency
            and profiles.service_month = choices.service_month
            and profiles.first_close = choices.first_close
            and choices.is_plan
            and months.item_key = choices.item_key
            and months.covered_from >= choices.day_from
            and months.covered_from < choices.day_to
    where
        months.ended_close = date '9999-12-31'
        and months.service_month <= {{ night() }}
        and coalesce(choices.is_broken, true)
    group by months.subscription_id, months.currency

),

current_entries as (

    select *
    from {{ ref('stg_price_entries') }}
    where
        ended_close = date '9999-12-31'
        and not is_refused

),

broken_sets as (

    select *
    from {{ ref('int_price_sets') }}
    where
        ended_close = date '9999-12-31'
        and is_broken

),

-- Two active books of one currency and priority that a tenant may use on one day for one item: their names decide.
current_offers as (

    select *
    from {{ ref('int_price_offers') }}
    where
        offered_to = date '9999-12-31'
        and is_fallback = 0

),

rivals as (

    select
        offers.price_book,
        offers.priority,
        min(others.price_book) as other_book,
        min(offers.item_key) as item_key
    from current_offers as offers
    inner join current_offers as others
        on
            offers.currency = others.currency
            and offers.item_key = others.item_key
            and offers.priority = others.priority
            and offers.price_book > others.price_book
            and offers.valid_from < others.valid_to
            and offers.valid_to > others.valid_from
    where
        offers.priority = 0
        or exists (
            select 1
            from {{ ref('stg_price_book_assignments') }} as mine
            inner join {{ ref('stg_price_book_assignments') }} as theirs
                on
                    mine.tenant_id = theirs.tenant_id
                    and mine.valid_from < theirs.valid_to
                    and mine.valid_to > theirs.valid_from
            where
                mine.price_book = offers.price_book
                and theirs.price_book = others.price_book
                and mine.ended_close = date '9999-12-31'
                and theirs.ended_close = date '9999-12-31'
        )
    group by offers.price_book, offers.priority

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
        source_file,
        source_line,
        rule,
        value,
        reason,
        row_json,
        received_at
    from refused_events

    union all

    select
        'subscriptions' as table_name,
        subscriptions.source_file,
        subscriptions.source_line,
        'subscription_overlap' as rule,
        cast(subscriptions.started_on as {{ dbt.type_string() }}) as value,
        'covers days that the tenant''s subscription ' || overlapped.standing_id
        || ', known earlier, covers; end one the day the other starts' as reason,
        subscriptions.row_json,
        subscriptions.received_at
    from overlapped
    inner join {{ ref('stg_subscriptions') }} as subscriptions
        on
            overlapped.subscription_id = subscriptions.subscription_id
            and overlapped.known_night = subscriptions.known_night
    where overlapped.place = 1

    union all

    select
        'subscriptions' as table_name,
        subscriptions.source_file,
        subscriptions.source_line,
        'unpriced' as rule,
        subscriptions.plan as value,
        'the plan has no price in ' || coalesce(unpriced_months.currency, 'its currency') || ' from '
        || cast(unpriced_months.first_month as {{ dbt.type_string() }}) || ' on'
        || coalesce(
            ': ' || unpriced_months.broken_reason, '; add a price of plan:' || subscriptions.plan || ' to a book'
        )
        || '; its fee is not billed' as reason,
        subscriptions.row_json,
        subscriptions.received_at
    from unpriced_months
    inner join {{ ref('int_subscription_states') }} as states
        on
            unpriced_months.subscription_id = states.subscription_id
            and states.replaced_night is null
    inner join {{ ref('stg_subscriptions') }} as subscriptions
        on
            states.subscription_id = subscriptions.subscription_id
            and states.tenant_id = subscriptions.tenant_id
            and states.known_night = subscriptions.known_night

    union all

    select
        'price_entries' as table_name,
        entries.source_file,
        entries.source_line,
        broken_sets.broken_rule as rule,
        case
            when broken_sets.broken_rule = 'tier_gap' then cast(entries.valid_from as {{ dbt.type_string() }})
            else coalesce({{ amount_text('entries.tier_up_to') }}, '')
        end as value,
        broken_sets.broken_reason || '; until then the set wins and what it wins has no price: '
        || entries.price_book || ', ' || entries.item_key || ' from '
        || cast(entries.valid_from as {{ dbt.type_string() }}) as reason,
        entries.row_json,
        entries.received_at
    from broken_sets
    inner join current_entries as entries
        on
            broken_sets.price_book = entries.price_book
            and broken_sets.item_key = entries.item_key
            and broken_sets.valid_from = entries.valid_from

    union all

    select
        'price_books' as table_name,
        books.source_file,
        books.source_line,
        'equal_priority' as rule,
        cast(books.priority as {{ dbt.type_string() }}) as value,
        'the book ' || rivals.other_book || ' has the same priority and prices ' || rivals.item_key
        || ' too; the first by name counts; give one a higher priority' as reason,
        books.row_json,
        books.received_at
    from rivals
    inner join {{ ref('stg_price_books') }} as books
        on
            rivals.price_book = books.price_book
            and books.ended_close = date '9999-12-31'

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
