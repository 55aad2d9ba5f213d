-- One row a tenant, driver, usage day and invoice date that first knows it: the usage that became known for that date.
-- A use counts when it is known; a cancelled one is taken back when its cancellation is. Nothing downstream reads
-- events. A month is made anew only if its fingerprint changed.
{{ config(**by_service_month('stg_usage_months')) }}

with

months as (

    {{ months_to_make('stg_usage_months') }}

),

uses as (

    select
        tenant_id,
        tenant_slug,
        driver_key,
        usage_date,
        {{ closing_of('known_night') }} as known_close,
        quantity,
        events
    from {{ ref('stg_usage_sums') }}
    where service_month in (select months.service_month from months)

),

changes as (

    select * from uses

    union all

    select
        tenant_id,
        tenant_slug,
        driver_key,
        cancelled_usage_date as usage_date,
        {{ closing_of('cancelled_night') }} as known_close,
        -cancelled_quantity as quantity,
        -1 as events
    from {{ ref('int_usage_cancellations') }}
    where
        status = 'cancellation'
        and {{ month_of('cancelled_usage_date') }} in (select months.service_month from months)

)

select
    tenant_id,
    {{ dbt.any_value('tenant_slug') }} as tenant_slug,
    driver_key,
    usage_date,
    {{ month_of('usage_date') }} as service_month,
    known_close,
    cast(sum(quantity) as decimal(38, 6)) as quantity,
    cast(sum(events) as bigint) as events
from changes
group by tenant_id, driver_key, usage_date, known_close
having sum(events) <> 0 or sum(quantity) <> 0
