-- One row a price set and stretch of invoice dates that know it so: the entries of one book, item and valid_from, which
-- rate together. A set whose tiers do not fit together, or of which a row is held back, is broken: it wins like any
-- other, and what it wins has no price. A plan's own price is a set without a book, behind all books.
with

entries as (

    select
        *,
        {{ content_hash(['price_book', 'item_key', 'valid_from']) }} as set_key
    from {{ ref('stg_price_entries') }}

),

bounds as (

    select
        set_key,
        known_close as close
    from entries

    union

    select
        set_key,
        ended_close as close
    from entries

),

stretches as (

    select
        set_key,
        close as known_close,
        lead(close) over (partition by set_key order by close) as ended_close
    from bounds

),

known as (

    select
        stretches.known_close,
        stretches.ended_close,
        entries.set_key,
        entries.price_book,
        entries.item_key,
        entries.valid_from,
        entries.valid_to,
        entries.price_entry_id,
        entries.pricing_model,
        entries.tier_up_to,
        entries.unit_price,
        entries.flat_fee,
        entries.package_size,
        entries.free_units,
        entries.is_refused,
        {{ content_hash([
            'entries.price_entry_id', 'entries.pricing_model', 'entries.tier_up_to', 'entries.unit_price',
            'entries.flat_fee', 'entries.package_size', 'entries.free_units',
        ]) }} as entry_hash
    from stretches
    inner join entries
        on
            stretches.set_key = entries.set_key
            and stretches.known_close >= entries.known_close
            and stretches.known_close < entries.ended_close
    where stretches.ended_close is not null

),

sets as (

    select
        set_key,
        price_book,
        item_key,
        valid_from,
        known_close,
        ended_close,
        max(valid_to) as valid_to,
        min(pricing_model) as pricing_model,
        max(case when tier_up_to is null then 1 else 0 end) as has_last_tier,
        {{ dbt.listagg('entry_hash', "','", 'order by entry_hash') }} as entry_hashes,
        max(flat_fee) as highest_flat_fee,
        case
            -- What the loader refused is told by its own rules; the rest of the set lacks it.
            when max(case when is_refused then 1 else 0 end) = 1 then 'tier_gap'
            when sum(case when tier_up_to is null then 1 else 0 end) = 0 then 'no_last_tier'
            when count(*) <> count(distinct coalesce(tier_up_to, -1)) then 'tier_overlap'
            when min(pricing_model) <> max(pricing_model) then 'tier_overlap'
            when min(pricing_model) in ('per_unit', 'package') and count(*) > 1 then 'tier_overlap'
            when min(free_units) <> max(free_units) then 'tier_overlap'
            when min(coalesce(package_size, 0)) <> max(coalesce(package_size, 0)) then 'tier_overlap'
            when min(valid_to) <> max(valid_to) then 'tier_gap'
            when item_key like 'plan:%' and min(pricing_model) <> 'per_unit' then 'no_last_tier'
        end as broken_rule,
        case
            when max(case when is_refused then 1 else 0 end) = 1 then 'another tier of the set is held back'
            when sum(case when tier_up_to is null then 1 else 0 end) = 0
                then 'no tier of the set is without a bound; leave tier_up_to of the last tier empty'
            when count(*) <> count(distinct coalesce(tier_up_to, -1))
                then 'two tiers of the set end at the same unit; give each a bound of its own'
            when min(pricing_model) <> max(pricing_model)
                then 'the tiers of the set have different pricing models; give all the same'
            when min(pricing_model) in ('per_unit', 'package') and count(*) > 1
                then 'a price per unit or package has one tier; use graduated or volume for several'
            when min(free_units) <> max(free_units)
                then 'the tiers of the set have different free units; give all the same'
            when min(coalesce(package_size, 0)) <> max(coalesce(package_size, 0))
                then 'the tiers of the set have different package sizes; give all the same'
            when min(valid_to) <> max(valid_to)
                then 'the tiers of the set end on different days; give all the same valid_to'
            when item_key like 'plan:%' and min(pricing_model) <> 'per_unit'
                then 'a plan has one price a month; use per_unit'
        end as broken_reason
    from known
    group by set_key, price_book, item_key, valid_from, known_close, ended_close

)

select
    {{ content_hash(['set_key', 'entry_hashes']) }} as price_set_id,
    set_key,
    price_book,
    item_key,
    item_key like 'plan:%' as is_plan,
    valid_from,
    valid_to,
    pricing_model,
    highest_flat_fee,
    broken_rule is not null as is_broken,
    broken_rule,
    broken_reason,
    known_close,
    ended_close
from sets
