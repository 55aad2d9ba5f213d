-- One row a tenant, used item, service month and run of days, with the price set that rates its usage, in which
-- currency, and the invoice dates that bill it so: from `billed_from` to before `billed_to`. Days that no subscription
-- covers, or that no whole set prices, are not here. A month is made anew only if its usage, its subscriptions or its
-- prices changed.
{{ config(**by_service_month('int_priced_months')) }}

with

months as (

    {{ months_to_make('int_priced_months') }}

)

select
    row_number() over (
        partition by subscribed.service_month
        order by
            subscribed.tenant_id, used.item_key, subscribed.day_from, choices.day_from, subscribed.currency,
            subscribed.billed_from
    ) as usage_price_number,
    subscribed.tenant_id,
    subscribed.tenant_slug,
    subscribed.currency,
    used.item_key,
    subscribed.service_month,
    greatest(subscribed.day_from, choices.day_from) as day_from,
    least(subscribed.day_to, choices.day_to) as day_to,
    choices.price_set_id,
    greatest(subscribed.billed_from, choices.price_close) as billed_from,
    subscribed.billed_to
from {{ ref('int_used_items') }} as used
inner join {{ ref('int_subscribed_days') }} as subscribed
    on
        used.tenant_id = subscribed.tenant_id
        and used.service_month = subscribed.service_month
inner join {{ ref('int_price_profiles') }} as profiles
    on
        subscribed.tenant_id = profiles.tenant_id
        and subscribed.currency = profiles.currency
        and subscribed.service_month = profiles.service_month
        and subscribed.first_close = profiles.first_close
        and not profiles.is_plan
inner join {{ ref('int_price_choices') }} as choices
    on
        profiles.profile_id = choices.profile_id
        and profiles.currency = choices.currency
        and profiles.service_month = choices.service_month
        and profiles.first_close = choices.first_close
        and used.item_key = choices.item_key
        and subscribed.day_from < choices.day_to
        and subscribed.day_to > choices.day_from
where
    used.service_month in (select months.service_month from months)
    and not choices.is_plan
    and not choices.is_broken
    and greatest(subscribed.billed_from, choices.price_close) < subscribed.billed_to
