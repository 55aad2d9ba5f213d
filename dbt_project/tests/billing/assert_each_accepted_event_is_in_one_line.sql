-- Laws 2 and 3: the current lines of a closed month hold each accepted event once: by tenant, currency, item and month
-- their events and units are those that are subscribed, priced and not cancelled, and the published lines say the same.
with

accepted as (

    select
        tenant_id,
        currency,
        item_key,
        service_month,
        events_billed as events,
        quantity_billed as quantity
    from {{ ref('int_usage_accepted') }}

),

lines as (

    select
        tenant_id,
        currency,
        item_key,
        service_month,
        sum(events) as events,
        sum(quantity) as quantity
    from {{ ref('int_invoice_lines') }}
    where price_set_id is not null
    group by tenant_id, currency, item_key, service_month

),

published as (

    select
        tenant_id,
        currency,
        item_key,
        service_from,
        sum(quantity) as quantity
    from {{ ref('invoice_lines') }}
    where
        line_type in ('usage', 'adjustment')
        and item_key <> 'minimum'
    group by tenant_id, currency, item_key, service_from

)

select
    coalesce(accepted.tenant_id, lines.tenant_id, published.tenant_id) as broken_by,
    coalesce(accepted.item_key, lines.item_key, published.item_key) as item_key,
    coalesce(accepted.service_month, lines.service_month, published.service_from) as service_month,
    accepted.events as accepted_events,
    lines.events as billed_events,
    accepted.quantity as accepted_quantity,
    lines.quantity as billed_quantity,
    published.quantity as published_quantity
from accepted
full outer join lines
    on
        accepted.tenant_id = lines.tenant_id
        and accepted.currency = lines.currency
        and accepted.item_key = lines.item_key
        and accepted.service_month = lines.service_month
full outer join published
    on
        lines.tenant_id = published.tenant_id
        and lines.currency = published.currency
        and lines.item_key = published.item_key
        and lines.service_month = published.service_from
where
    coalesce(accepted.events, 0) <> coalesce(lines.events, 0)
    or coalesce(accepted.quantity, 0) <> coalesce(lines.quantity, 0)
    or coalesce(lines.quantity, 0) <> coalesce(published.quantity, 0)
-- depends_on: {{ ref('billing_certificate') }}
