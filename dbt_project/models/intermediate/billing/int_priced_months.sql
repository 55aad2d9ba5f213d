-- One row a service month, with a fingerprint of all that its usage lines depend on: its usage and costs, the days
-- that subscriptions cover, the prices of those days, and how far the dates that know all this are invoiced. As long
-- as it is the same, so are the lines, drafts included.
with

closes as (

    select
        service_month,
        max(case when known_close <= {{ night() }} then known_close end) as last_close
    from {{ ref('int_usage_days') }}
    group by service_month

),

subscribed as (

    select
        service_month,
        {{ rows_digest([
            'tenant_id', 'tenant_slug', 'currency', 'day_from', 'day_to', 'first_close', 'billed_from', 'billed_to',
            'billed_from <= ' ~ night(), 'billed_from <= ' ~ draft_date(),
            'billed_to <= ' ~ night(), 'billed_to <= ' ~ draft_date(),
        ]) }} as digest
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
            'price_close <= ' ~ night(), 'price_close <= ' ~ draft_date(),
        ]) }} as digest
    from choices
    group by service_month

),

sets as (

    select distinct
        service_month,
        price_set_id
    from choices

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

    select service_month from {{ ref('int_costed_months') }}

    union

    select service_month from subscribed

)

select
    months.service_month,
    coalesce(costed.fingerprint, '')
    || ' ' || coalesce(cast(closes.last_close as {{ dbt.type_string() }}), '')
    || ' ' || coalesce(subscribed.digest, '')
    || ' ' || coalesce(profiles.digest, '')
    || ' ' || coalesce(chosen.digest, '')
    || ' ' || coalesce(tiers.digest, '') as fingerprint
from months
left join {{ ref('int_costed_months') }} as costed on months.service_month = costed.service_month
left join closes on months.service_month = closes.service_month
left join subscribed on months.service_month = subscribed.service_month
left join profiles on months.service_month = profiles.service_month
left join chosen on months.service_month = chosen.service_month
left join tiers on months.service_month = tiers.service_month
