-- Cost against price by tenant. Final invoices alone: what the running month will bring stands in invoice_drafts.
with

prices as (

    select
        tenant_id,
        tenant_slug,
        service_month,
        currency,
        sum(case when price_set_id is not null then amount else 0 end) as usage_price,
        sum(case when item_key = 'minimum' then amount else 0 end) as minimum_price,
        sum(case when price_set_id is null and item_key <> 'minimum' then amount else 0 end) as plan_price
    from {{ ref('int_invoice_lines') }}
    group by tenant_id, tenant_slug, service_month, currency

),

costs as (

    select
        tenant_id,
        service_month,
        currency,
        sum(events_billed) as events,
        sum(cost_billed) as cost
    from {{ ref('int_usage_accepted') }}
    group by tenant_id, service_month, currency

)

select
    prices.tenant_id,
    prices.tenant_slug,
    prices.service_month,
    prices.currency,
    cast(coalesce(costs.events, 0) as bigint) as events,
    cast(prices.usage_price as decimal(18, 2)) as usage_price,
    cast(prices.minimum_price as decimal(18, 2)) as minimum_price,
    cast(prices.plan_price as decimal(18, 2)) as plan_price,
    cast(coalesce(costs.cost, 0) as decimal(38, 12)) as cost,
    -- Costs are in US dollars, and nothing is converted.
    case
        when prices.currency = 'USD'
            then
                cast(
                    prices.usage_price + prices.minimum_price + prices.plan_price - coalesce(costs.cost, 0)
                    as decimal(38, 12)
                )
    end as margin
from prices
left join costs
    on
        prices.tenant_id = costs.tenant_id
        and prices.service_month = costs.service_month
        and prices.currency = costs.currency
