-- One row a tier of a price set: the entries of one book, item and valid_from, which rate together.
-- A set whose tiers do not fit together is broken: it wins like any other, and what it wins has no price.
with

entries as (

    select
        entries.*,
        {{ content_hash(['price_book', 'item_key', 'valid_from']) }} as price_set_id,
        coalesce(entries.tier_up_to, cast(99999999999999999999 as decimal(38, 6))) as tier_bound
    from {{ ref('stg_price_entries') }} as entries

),

sets as (

    select
        price_set_id,
        max(known_close) as set_known_close,
        (
            count(*) <> count(distinct tier_bound)
            or sum(case when tier_up_to is null then 1 else 0 end) <> 1
            or min(pricing_model) <> max(pricing_model)
            or min(free_units) <> max(free_units)
            or min(coalesce(package_size, 0)) <> max(coalesce(package_size, 0))
            or min(coalesce(valid_to, date '9999-12-31')) <> max(coalesce(valid_to, date '9999-12-31'))
            or (min(pricing_model) in ('per_unit', 'package') and count(*) > 1)
            or (min(pricing_model) = 'package' and min(coalesce(package_size, 0)) <= 0)
            or (min(pricing_model) in ('per_unit', 'package') and max(flat_fee) > 0)
        ) as is_broken
    from entries
    group by price_set_id

)

select
    entries.price_set_id,
    entries.price_book,
    entries.item_key,
    entries.pricing_model,
    entries.price_entry_id,
    row_number() over (partition by entries.price_set_id order by entries.tier_bound, entries.price_entry_id) as tier,
    coalesce(
        lag(entries.tier_up_to) over (
            partition by entries.price_set_id order by entries.tier_bound, entries.price_entry_id
        ),
        0
    ) as tier_from,
    entries.tier_bound,
    entries.unit_price,
    entries.flat_fee,
    entries.package_size,
    entries.free_units,
    entries.valid_from,
    entries.valid_to,
    sets.is_broken,
    sets.set_known_close
from entries
inner join sets on entries.price_set_id = sets.price_set_id
