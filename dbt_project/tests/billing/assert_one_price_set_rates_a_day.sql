-- Law 9: usage of one tenant, item and day is rated by one price set in one currency at a time.
select
    one.tenant_id as broken_by,
    one.item_key,
    one.service_month,
    one.price_set_id,
    other.price_set_id as other_price_set_id
from {{ ref('int_usage_prices') }} as one
inner join {{ ref('int_usage_prices') }} as other
    on
        one.tenant_id = other.tenant_id
        and one.item_key = other.item_key
        and one.service_month = other.service_month
        and one.day_from < other.day_to
        and one.day_to > other.day_from
        and one.billed_from < other.billed_to
        and one.billed_to > other.billed_from
where
    one.price_set_id < other.price_set_id
    or one.currency < other.currency
    or one.day_from < other.day_from
    or one.billed_from < other.billed_from
-- depends_on: {{ ref('billing_certificate') }}
