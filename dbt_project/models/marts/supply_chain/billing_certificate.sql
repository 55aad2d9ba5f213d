-- What became of the usage of each month: every event received stands under one outcome, with its quantity and value.
with

refused as (

    select * from {{ ref('int_usage_refused') }}

),

accepted as (

    select
        service_month,
        currency,
        sum(events_billed) as events_billed,
        sum(quantity_billed) as quantity_billed,
        sum(cost_billed) as cost_billed,
        sum(events_open) as events_open,
        sum(quantity_open) as quantity_open,
        sum(cost_open) as cost_open
    from {{ ref('int_usage_accepted') }}
    group by service_month, currency

),

-- Usage lines and their adjustments; minimums and fees are no price of usage.
prices as (

    select
        service_month,
        currency,
        sum(case when is_draft then 0 else amount end) as price_billed,
        sum(case when is_draft then amount else 0 end) as price_open
    from {{ ref('int_billing_lines') }}
    where price_set_id is not null
    group by service_month, currency

),

cancelled as (

    select
        cancellations.service_month,
        count(*) as events,
        sum(cancellations.cancelled_quantity) as quantity,
        sum(cancellations.cancelled_quantity * drivers.unit_cost) as cost
    from {{ ref('int_usage_cancellations') }} as cancellations
    left join {{ ref('stg_cost_drivers') }} as drivers
        on
            cancellations.driver_key = drivers.driver_key
            and cancellations.cancelled_usage_date >= drivers.used_from
            and cancellations.cancelled_usage_date < drivers.used_to
    where cancellations.status = 'cancellation'
    group by cancellations.service_month

),

outcomes as (

    select
        service_month,
        'quarantined' as outcome,
        rule,
        cast(null as {{ dbt.type_string() }}) as currency,
        events,
        quantity,
        cost,
        cast(null as decimal(18, 2)) as price
    from refused

    union all

    select
        service_month,
        'duplicate' as outcome,
        cast(null as {{ dbt.type_string() }}) as rule,
        cast(null as {{ dbt.type_string() }}) as currency,
        events,
        cast(null as decimal(38, 6)) as quantity,
        cast(null as decimal(38, 12)) as cost,
        cast(null as decimal(18, 2)) as price
    from {{ ref('stg_usage_duplicates') }}

    union all

    select
        service_month,
        'cancelled' as outcome,
        cast(null as {{ dbt.type_string() }}) as rule,
        cast(null as {{ dbt.type_string() }}) as currency,
        events,
        quantity,
        cost,
        cast(null as decimal(18, 2)) as price
    from cancelled

    union all

    select
        service_month,
        'cancellation' as outcome,
        cast(null as {{ dbt.type_string() }}) as rule,
        cast(null as {{ dbt.type_string() }}) as currency,
        events,
        cast(null as decimal(38, 6)) as quantity,
        cast(null as decimal(38, 12)) as cost,
        cast(null as decimal(18, 2)) as price
    from cancelled

    union all

    select
        accepted.service_month,
        'billed' as outcome,
        cast(null as {{ dbt.type_string() }}) as rule,
        accepted.currency,
        accepted.events_billed as events,
        accepted.quantity_billed as quantity,
        accepted.cost_billed as cost,
        coalesce(prices.price_billed, 0) as price
    from accepted
    left join prices
        on
            accepted.service_month = prices.service_month
            and accepted.currency = prices.currency

    union all

    select
        accepted.service_month,
        'not_yet_billed' as outcome,
        cast(null as {{ dbt.type_string() }}) as rule,
        accepted.currency,
        accepted.events_open as events,
        accepted.quantity_open as quantity,
        accepted.cost_open as cost,
        coalesce(prices.price_open, 0) as price
    from accepted
    left join prices
        on
            accepted.service_month = prices.service_month
            and accepted.currency = prices.currency

),

-- How late the events of a month were that the loader accepted: the least lateness that so many of them do not exceed.
lateness as (

    select
        service_month,
        minutes_late,
        sum(events) over (partition by service_month order by minutes_late) as events_to_here,
        sum(events) over (partition by service_month) as events
    from (
        select
            service_month,
            minutes_late,
            sum(events) as events
        from {{ ref('int_usage_receipts') }}
        group by service_month, minutes_late
    ) as by_minute

),

percentiles as (

    select
        service_month,
        min(case when events_to_here * 100 >= events * 50 then minutes_late end) as minutes_late_p50,
        min(case when events_to_here * 100 >= events * 95 then minutes_late end) as minutes_late_p95,
        min(case when events_to_here * 100 >= events * 99 then minutes_late end) as minutes_late_p99,
        max(minutes_late) as minutes_late_max
    from lateness
    group by service_month

),

received as (

    select
        service_month,
        sum(events) as events,
        sum(quantity) as quantity,
        sum(cost) as cost
    from outcomes
    group by service_month

)

select
    received.service_month,
    'received' as outcome,
    cast(null as {{ dbt.type_string() }}) as rule,
    cast(null as {{ dbt.type_string() }}) as currency,
    cast(received.events as bigint) as events,
    cast(received.quantity as decimal(38, 6)) as quantity,
    cast(received.cost as decimal(38, 12)) as cost,
    cast(null as decimal(18, 2)) as price,
    cast(coalesce(repeated.ids, 0) as bigint) as repeated_ids,
    cast(percentiles.minutes_late_p50 as bigint) as minutes_late_p50,
    cast(percentiles.minutes_late_p95 as bigint) as minutes_late_p95,
    cast(percentiles.minutes_late_p99 as bigint) as minutes_late_p99,
    cast(percentiles.minutes_late_max as bigint) as minutes_late_max
from received
left join percentiles on received.service_month = percentiles.service_month
left join {{ ref('stg_repeated_ids') }} as repeated on received.service_month = repeated.service_month

union all

select
    service_month,
    outcome,
    rule,
    currency,
    cast(events as bigint) as events,
    cast(quantity as decimal(38, 6)) as quantity,
    cast(cost as decimal(38, 12)) as cost,
    cast(price as decimal(18, 2)) as price,
    cast(null as bigint) as repeated_ids,
    cast(null as bigint) as minutes_late_p50,
    cast(null as bigint) as minutes_late_p95,
    cast(null as bigint) as minutes_late_p99,
    cast(null as bigint) as minutes_late_max
from outcomes
-- depends_on: {{ ref('stg_final_invoices') }}
-- depends_on: {{ ref('stg_ledger_nights') }}
-- depends_on: {{ ref('stg_load_audit') }}
