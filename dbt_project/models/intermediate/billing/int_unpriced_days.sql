-- One row a tenant, driver and day with usage that no subscription covers, or that no price rates as of the night.
{{ config(**by_service_month('int_priced_months')) }}

with

months as (

    {{ months_to_make('int_priced_months') }}

),

days as (

    select
        tenant_id,
        driver_key,
        usage_date,
        service_month,
        events
    from {{ ref('int_usage_days') }}
    where service_month in (select months.service_month from months)

)

select
    days.tenant_id,
    days.driver_key,
    days.usage_date,
    days.service_month
from days
left join {{ ref('int_usage_prices') }} as prices
    on
        days.tenant_id = prices.tenant_id
        and days.driver_key = prices.item_key
        and days.service_month = prices.service_month
        and days.usage_date >= prices.day_from
        and days.usage_date < prices.day_to
        and prices.billed_to = date '9999-12-31'
where prices.tenant_id is null
group by days.tenant_id, days.driver_key, days.usage_date, days.service_month
having sum(days.events) > 0
