-- One row a tenant, currency, item and service month of accepted usage, subscribed and priced: what the invoices
-- up to the night hold of it (billed), what the next one adds (open), and what both cost the platform.
{{ config(**by_service_month('int_priced_months')) }}

with

months as (

    {{ months_to_make('int_priced_months') }}

),

counted as (

    select
        prices.tenant_id,
        prices.tenant_slug,
        prices.currency,
        prices.item_key,
        prices.service_month,
        usage.events,
        usage.quantity,
        usage.cost,
        case
            when greatest(usage.known_close, prices.billed_from) <= {{ night() }} and prices.billed_to > {{ night() }}
                then 1
            else 0
        end as is_billed,
        case
            when prices.billed_to > {{ draft_date() }} then 1
            else 0
        end as is_accepted
    from {{ ref('int_usage_runs') }} as usage
    inner join {{ ref('int_usage_prices') }} as prices
        on
            usage.tenant_id = prices.tenant_id
            and usage.item_key = prices.item_key
            and usage.service_month = prices.service_month
            and usage.day_from = prices.day_from
            and usage.day_to = prices.day_to
    where
        usage.service_month in (select months.service_month from months)
        and usage.known_close < prices.billed_to

)

select
    tenant_id,
    {{ dbt.any_value('tenant_slug') }} as tenant_slug,
    currency,
    item_key,
    service_month,
    cast(sum(events * is_billed) as bigint) as events_billed,
    cast(sum(quantity * is_billed) as decimal(38, 6)) as quantity_billed,
    cast(sum(cost * is_billed) as decimal(38, 12)) as cost_billed,
    cast(sum(events * (is_accepted - is_billed)) as bigint) as events_open,
    cast(sum(quantity * (is_accepted - is_billed)) as decimal(38, 6)) as quantity_open,
    cast(sum(cost * (is_accepted - is_billed)) as decimal(38, 12)) as cost_open
from counted
group by tenant_id, currency, item_key, service_month
