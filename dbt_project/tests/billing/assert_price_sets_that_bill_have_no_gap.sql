-- Law 9: a set that priced a line has tiers that follow one another from 0 to one without a bound, and one entry a
-- bound.
with

billing_sets as (

    select distinct price_set_id
    from {{ ref('int_usage_lines') }}

),

tiers as (

    select
        tiers.price_set_id,
        tiers.tier,
        tiers.tier_from,
        tiers.tier_bound,
        lead(tiers.tier_from) over (partition by tiers.price_set_id order by tiers.tier) as next_from,
        max(tiers.tier_bound) over (partition by tiers.price_set_id) as last_bound
    from {{ ref('int_price_tiers') }} as tiers
    inner join billing_sets on tiers.price_set_id = billing_sets.price_set_id

)

select
    price_set_id as broken_by,
    tier,
    tier_from,
    tier_bound,
    next_from
from tiers
where
    tier_bound <= tier_from
    or (tier = 1 and tier_from <> 0)
    or (next_from is not null and next_from <> tier_bound)
    or (next_from is null and tier_bound <> last_bound)
    or last_bound < 99999999999999999999
-- depends_on: {{ ref('billing_certificate') }}
