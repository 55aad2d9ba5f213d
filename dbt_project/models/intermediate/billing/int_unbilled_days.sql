-- One row a tenant, driver and day with usage events that billing refuses: a use that cannot be billed, and why, or a
-- cancellation that takes back nothing. A table, for it is small: joined to all events it leaves few to look at.
with

-- Whether usage can be billed depends on its day and item alone: it needs a subscription, and a set that rates it.
unbilled_reasons as (

    select
        unpriced_days.tenant_id,
        unpriced_days.driver_key,
        unpriced_days.usage_date,
        case when subscribed.tenant_id is null then 'no_subscription' else 'unpriced' end as rule,
        case
            when subscribed.tenant_id is null
                then 'the tenant has no subscription on this day; add one that covers it'
            when choices.broken_reason is not null
                then 'the price set that wins on this day is broken: ' || choices.broken_reason
            else
                'no price book of the tenant has a price in ' || coalesce(subscribed.currency, 'its currency')
                || ' on this day; add one'
        end as reason
    from {{ ref('int_unpriced_days') }} as unpriced_days
    left join {{ ref('int_subscribed_days') }} as subscribed
        on
            unpriced_days.tenant_id = subscribed.tenant_id
            and unpriced_days.service_month = subscribed.service_month
            and unpriced_days.usage_date >= subscribed.day_from
            and unpriced_days.usage_date < subscribed.day_to
            and subscribed.billed_to = date '9999-12-31'
    left join {{ ref('int_price_profiles') }} as profiles
        on
            subscribed.tenant_id = profiles.tenant_id
            and subscribed.currency = profiles.currency
            and subscribed.service_month = profiles.service_month
            and subscribed.first_close = profiles.first_close
            and not profiles.is_plan
    left join {{ ref('int_price_choices') }} as choices
        on
            profiles.profile_id = choices.profile_id
            and profiles.currency = choices.currency
            and profiles.service_month = choices.service_month
            and profiles.first_close = choices.first_close
            and not choices.is_plan
            and unpriced_days.driver_key = choices.item_key
            and unpriced_days.usage_date >= choices.day_from
            and unpriced_days.usage_date < choices.day_to

),

days as (

    select
        tenant_id,
        driver_key,
        usage_date,
        rule,
        reason
    from unbilled_reasons

    union all

    select
        tenant_id,
        driver_key,
        usage_date,
        cast(null as {{ dbt.type_string() }}) as rule,
        cast(null as {{ dbt.type_string() }}) as reason
    from {{ ref('int_usage_cancellations') }}
    where status <> 'cancellation'

)

select
    tenant_id,
    driver_key,
    usage_date,
    max(rule) as rule,
    max(reason) as reason
from days
group by tenant_id, driver_key, usage_date
