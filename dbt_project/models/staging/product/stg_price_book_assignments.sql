-- Which tenant may use which price book, on which days.
select
    tenant_id,
    price_book,
    valid_from,
    valid_to,
    {{ closing_of('_known_night') }} as known_close
from {{ source('product', 'price_book_assignments') }}
