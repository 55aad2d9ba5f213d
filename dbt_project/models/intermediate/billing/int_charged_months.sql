-- One row a service month, with a fingerprint of all that its usage lines depend on: its usage and costs, the days
-- that subscriptions cover, the prices of those days, and how far the dates that know all this are invoiced. As long
-- as it is the same, so are the lines, drafts included.
{#- Dates after the draft's are told as later alone. -#}
{%- set known_so_far = [
    'case when billed_from <= ' ~ draft_date() ~ ' then billed_from end', 'billed_from <= ' ~ night(),
    'case when billed_to <= ' ~ draft_date() ~ ' then billed_to end', 'billed_to <= ' ~ night(),
] %}

with

closes as (

    select
        service_month,
        max(case when known_close <= {{ night() }} then known_close end) as last_close
    from {{ ref('int_usage_runs') }}
    group by service_month

),

prices as (

    select
        service_month,
        {{ rows_digest([
            'tenant_id', 'tenant_slug', 'currency', 'item_key', 'day_from', 'day_to', 'price_set_id',
        ] + known_so_far) }} as digest
    from {{ ref('int_usage_prices') }}
    group by service_month

),

-- Flat fees are owed for days without usage, too.
subscribed as (

    select
        service_month,
        {{ rows_digest(['tenant_id', 'tenant_slug', 'currency', 'day_from', 'day_to', 'first_close'] + known_so_far) }}
            as digest
    from {{ ref('int_subscribed_days') }}
    group by service_month

),

profiles as (

    select
        service_month,
        {{ rows_digest(['tenant_id', 'currency', 'first_close', 'profile_id']) }} as digest
    from {{ ref('int_price_profiles') }}
    where not is_plan
    group by service_month

),

choices as (

    select *
    from {{ ref('int_price_choices') }}
    where
        not is_plan
        and not is_broken

),

chosen as (

    select
        service_month,
        {{ rows_digest([
            'profile_id', 'currency', 'first_close', 'item_key', 'day_from', 'day_to', 'price_set_id', 'price_close',
        ]) }} as digest
    from choices
    group by service_month

),

sets as (

    select
        service_month,
        price_set_id
    from choices

    union

    select
        service_month,
        price_set_id
    from {{ ref('int_usage_prices') }}

),

tiers as (

    select
        sets.service_month,
        {{ rows_digest([
            'tiers.price_set_id', 'tiers.tier', 'tiers.price_book', 'tiers.price_entry_id', 'tiers.pricing_model',
            'tiers.tier_from', 'tiers.tier_up_to', 'tiers.tier_bound', 'tiers.unit_price', 'tiers.flat_fee',
            'tiers.package_size', 'tiers.free_units',
        ]) }} as digest
    from sets
    inner join {{ ref('int_price_tiers') }} as tiers on sets.price_set_id = tiers.price_set_id
    group by sets.service_month

),

months as (

    select service_month from {{ ref('int_priced_months') }}

    union

    select service_month from prices

    union

    select service_month from subscribed

)

select
    months.service_month,
    coalesce(priced.fingerprint, '')
    || ' ' || coalesce(cast(closes.last_close as {{ dbt.type_string() }}), '')
    || ' ' || coalesce(prices.digest, '')
    || ' ' || coalesce(subscribed.digest, '')
    || ' ' || coalesce(profiles.digest, '')
    || ' ' || coalesce(chosen.digest, '')
    || ' ' || coalesce(tiers.digest, '') as fingerprint
from months
left join {{ ref('int_priced_months') }} as priced on months.service_month = priced.service_month
left join closes on months.service_month = closes.service_month
left join prices on months.service_month = prices.service_month
left join subscribed on months.service_month = subscribed.service_month
left join profiles on months.service_month = profiles.service_month
left join chosen on months.service_month = chosen.service_month
left join tiers on months.service_month = tiers.service_month
