-- Law 2: every usage row that was read has one outcome in the certificate, and quantities tie from what the loader
-- accepted to the days, and from there to tenant_usage_daily, by month; by tenant and driver too in months that are not
-- kept as they were when this last held.
with

audited as (

    select
        coalesce(sum(rows_read), 0) as rows_read,
        coalesce(sum(rows_accepted), 0) as rows_accepted
    from {{ ref('stg_load_audit') }}
    where table_name = 'usage_events'

),

certified as (

    select coalesce(sum(events), 0) as events
    from {{ ref('billing_certificate') }}
    where outcome = 'received'

),

receipts as (

    select
        service_month,
        sum(events) as events,
        sum(case when is_cancellation then 0 else events end) as uses,
        sum(quantity) as quantity
    from {{ ref('int_usage_receipts') }}
    group by service_month

),

accepted as (

    select coalesce(sum(events), 0) as events
    from receipts

),

days_by_month as (

    select
        service_month,
        sum(events) as events,
        sum(quantity) as quantity
    from {{ ref('int_usage_days') }}
    group by service_month

),

daily_by_month as (

    select
        {{ month_of('usage_date') }} as service_month,
        sum(events) as events,
        sum(quantity) as quantity
    from {{ ref('tenant_usage_daily') }}
    group by {{ month_of('usage_date') }}

),

months_to_tie as (

    select months.service_month
    from (
        select service_month from days_by_month
        union
        select service_month from daily_by_month
    ) as months
    where months.service_month not in ({{ tested_months('tenant_usage_daily') }})

),

days as (

    select
        tenant_id,
        driver_key,
        service_month,
        sum(events) as events,
        sum(quantity) as quantity
    from {{ ref('int_usage_days') }}
    where service_month in (select months_to_tie.service_month from months_to_tie)
    group by tenant_id, driver_key, service_month

),

daily as (

    select
        tenant_id,
        driver_key,
        {{ month_of('usage_date') }} as service_month,
        sum(events) as events,
        sum(quantity) as quantity
    from {{ ref('tenant_usage_daily') }}
    where {{ month_of('usage_date') }} in (select months_to_tie.service_month from months_to_tie)
    group by tenant_id, driver_key, {{ month_of('usage_date') }}

),

cancelled as (

    select
        service_month,
        count(*) as events,
        sum(cancelled_quantity) as quantity
    from {{ ref('int_usage_cancellations') }}
    where status = 'cancellation'
    group by service_month

),

-- What counts, and what was cancelled.
months as (

    select
        service_month,
        sum(events) as events,
        sum(quantity) as quantity
    from (
        select
            service_month,
            events,
            quantity
        from days_by_month
        union all
        select
            service_month,
            events,
            quantity
        from cancelled
    ) as parts
    group by service_month

)

select
    'rows read' as broken_by,
    cast(audited.rows_read as decimal(38, 6)) as expected,
    cast(certified.events as decimal(38, 6)) as found
from audited
cross join certified
where audited.rows_read <> certified.events

union all

select
    'rows accepted' as broken_by,
    cast(audited.rows_accepted as decimal(38, 6)) as expected,
    cast(accepted.events as decimal(38, 6)) as found
from audited
cross join accepted
where audited.rows_accepted <> accepted.events

union all

select
    cast(coalesce(receipts.service_month, months.service_month) as {{ dbt.type_string() }}) as broken_by,
    cast(receipts.quantity as decimal(38, 6)) as expected,
    cast(months.quantity as decimal(38, 6)) as found
from receipts
full outer join months on receipts.service_month = months.service_month
where
    coalesce(receipts.uses, 0) <> coalesce(months.events, 0)
    or coalesce(receipts.quantity, 0) <> coalesce(months.quantity, 0)

union all

select
    coalesce(days.tenant_id, daily.tenant_id) || ' ' || coalesce(days.driver_key, daily.driver_key) as broken_by,
    cast(days.quantity as decimal(38, 6)) as expected,
    cast(daily.quantity as decimal(38, 6)) as found
from days
full outer join daily
    on
        days.tenant_id = daily.tenant_id
        and days.driver_key = daily.driver_key
        and days.service_month = daily.service_month
where
    coalesce(days.events, 0) <> coalesce(daily.events, 0)
    or coalesce(days.quantity, 0) <> coalesce(daily.quantity, 0)

union all

select
    cast(coalesce(days_by_month.service_month, daily_by_month.service_month) as {{ dbt.type_string() }}) as broken_by,
    cast(days_by_month.quantity as decimal(38, 6)) as expected,
    cast(daily_by_month.quantity as decimal(38, 6)) as found
from days_by_month
full outer join daily_by_month on days_by_month.service_month = daily_by_month.service_month
where
    coalesce(days_by_month.events, 0) <> coalesce(daily_by_month.events, 0)
    or coalesce(days_by_month.quantity, 0) <> coalesce(daily_by_month.quantity, 0)
