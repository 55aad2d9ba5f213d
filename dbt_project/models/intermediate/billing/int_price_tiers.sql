-- One row a tier of a price set that is whole, with what it holds: (tier_from, tier_bound], the first one 0 too.
with

whole_sets as (

    select
        price_set_id,
        set_key,
        price_book,
        item_key,
        valid_from,
        min(known_close) as known_close
    from {{ ref('int_price_sets') }}
    where not is_broken
    group by price_set_id, set_key, price_book, item_key, valid_from

),

entries as (

    select
        whole_sets.price_set_id,
        whole_sets.set_key,
        whole_sets.price_book,
        whole_sets.item_key,
        whole_sets.valid_from,
        entries.price_entry_id,
        entries.pricing_model,
        entries.tier_up_to,
        coalesce(entries.tier_up_to, cast(99999999999999999999 as decimal(38, 6))) as tier_bound,
        entries.unit_price,
        entries.flat_fee,
        entries.package_size,
        entries.free_units
    from whole_sets
    inner join {{ ref('stg_price_entries') }} as entries
        on
            whole_sets.price_book = entries.price_book
            and whole_sets.item_key = entries.item_key
            and whole_sets.valid_from = entries.valid_from
            and whole_sets.known_close >= entries.known_close
            and whole_sets.known_close < entries.ended_close

),

-- A plan's own price: one tier, without a book or an entry.
plan_prices as (

    select distinct
        {{ content_hash(["'plan'", 'plan', 'price_monthly']) }} as price_set_id,
        {{ content_hash(["'plan'", 'plan']) }} as set_key,
        'plan:' || plan as item_key,
        price_monthly as unit_price
    from {{ ref('stg_plans') }}
    where price_monthly is not null

)

select
    price_set_id,
    set_key,
    price_book,
    item_key,
    valid_from,
    pricing_model,
    price_entry_id,
    row_number() over (partition by price_set_id order by tier_bound, price_entry_id) as tier,
    coalesce(lag(tier_up_to) over (partition by price_set_id order by tier_bound, price_entry_id), 0) as tier_from,
    tier_up_to,
    tier_bound,
    cast(unit_price as decimal(18, 6)) as unit_price,
    cast(flat_fee as decimal(18, 6)) as flat_fee,
    package_size,
    free_units
from entries

union all

select
    price_set_id,
    set_key,
    cast(null as {{ dbt.type_string() }}) as price_book,
    item_key,
    cast(null as date) as valid_from,
    'per_unit' as pricing_model,
    cast(null as {{ dbt.type_string() }}) as price_entry_id,
    1 as tier,
    cast(0 as decimal(38, 6)) as tier_from,
    cast(null as decimal(38, 6)) as tier_up_to,
    cast(99999999999999999999 as decimal(38, 6)) as tier_bound,
    cast(unit_price as decimal(18, 6)) as unit_price,
    cast(0 as decimal(18, 6)) as flat_fee,
    cast(null as decimal(38, 6)) as package_size,
    cast(0 as decimal(38, 6)) as free_units
from plan_prices
