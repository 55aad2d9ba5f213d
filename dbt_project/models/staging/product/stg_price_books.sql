-- Price books that are active. Priority 0 is open to every tenant billed in the book's currency.
select
    name as price_book,
    currency,
    priority,
    {{ closing_of('_known_night') }} as known_close
from {{ source('product', 'price_books') }}
where is_active
