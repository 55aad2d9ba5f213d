-- One row a price set, stretch of invoice dates that offer it, and currency: a set as known, in a book as known, while
-- that is active; and each plan's own price in US dollars, behind all books.
select
    sets.price_set_id,
    sets.item_key,
    sets.is_plan,
    sets.is_broken,
    sets.broken_reason,
    sets.highest_flat_fee,
    books.currency,
    books.price_book,
    books.priority,
    0 as is_fallback,
    sets.valid_from,
    sets.valid_to,
    greatest(sets.known_close, books.known_close) as offered_from,
    least(sets.ended_close, books.ended_close) as offered_to
from {{ ref('int_price_sets') }} as sets
inner join {{ ref('stg_price_books') }} as books
    on
        sets.price_book = books.price_book
        and sets.known_close < books.ended_close
        and sets.ended_close > books.known_close
where books.is_active

union all

select
    {{ content_hash(["'plan'", 'plan', 'price_monthly']) }} as price_set_id,
    'plan:' || plan as item_key,
    true as is_plan,
    false as is_broken,
    cast(null as {{ dbt.type_string() }}) as broken_reason,
    cast(0 as decimal(18, 6)) as highest_flat_fee,
    'USD' as currency,
    cast(null as {{ dbt.type_string() }}) as price_book,
    0 as priority,
    1 as is_fallback,
    date '0001-01-01' as valid_from,
    date '9999-12-31' as valid_to,
    known_close as offered_from,
    ended_close as offered_to
from {{ ref('stg_plans') }}
where price_monthly is not null
