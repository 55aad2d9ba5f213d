-- Laws 2 and 3: the lines of usage and its adjustments add up, by tenant, item and month, to the accepted events that
-- an invoice date has passed since: counted, subscribed and priced. Each is in one line, once.
with

accepted as (

    select
        events.tenant_id,
        events.driver_key,
        events.service_month,
        sum(events.quantity) as quantity
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
        events.status = 'counted'
        and not choices.is_broken
        and greatest(events.known_night, subscribed.arrears_close, choices.price_close)
        <= (select max(dates.invoice_date) from {{ ref('int_billing_dates') }} as dates)
    group by events.tenant_id, events.driver_key, events.service_month

),

lines as (

    select
        tenant_id,
        item_key,
        service_from,
        sum(quantity) as quantity
    from {{ ref('invoice_lines') }}
    where
        line_type in ('usage', 'adjustment')
        and item_key <> 'minimum'
    group by tenant_id, item_key, service_from

)

select
    coalesce(accepted.tenant_id, lines.tenant_id) as tenant_id,
    coalesce(accepted.driver_key, lines.item_key) as item_key,
    coalesce(accepted.service_month, lines.service_from) as service_month,
    accepted.quantity as accepted_quantity,
    lines.quantity as billed_quantity
from accepted
full outer join lines
    on
        accepted.tenant_id = lines.tenant_id
        and accepted.driver_key = lines.item_key
        and accepted.service_month = lines.service_from
where coalesce(accepted.quantity, 0) <> coalesce(lines.quantity, 0)
