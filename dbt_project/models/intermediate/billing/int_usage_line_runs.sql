-- One row a usage line and run of days that its price set rates: which usage may enter the line or leave it. From
-- `billed_from` to before `billed_to` the set bills the days; on `billed_to` their usage leaves it.
{{ config(**by_service_month('int_billed_months')) }}

with

months as (

    {{ months_to_make('int_billed_months') }}

)

select
    lines.line_id,
    lines.invoice_date,
    prices.tenant_id,
    prices.item_key as driver_key,
    prices.service_month,
    prices.day_from,
    prices.day_to,
    prices.billed_from,
    prices.billed_to
from {{ ref('int_usage_prices') }} as prices
inner join {{ ref('int_invoice_lines') }} as lines
    on
        prices.tenant_id = lines.tenant_id
        and prices.currency = lines.currency
        and prices.price_set_id = lines.price_set_id
        and prices.service_month = lines.service_month
        and prices.billed_from <= lines.invoice_date
        and prices.billed_to >= lines.invoice_date
where prices.service_month in (select months.service_month from months)
