-- Price entries, one row a tier, with the amounts that hold where the source leaves them empty.
select
    id as price_entry_id,
    price_book,
    item_key,
    pricing_model,
    tier_up_to,
    unit_price,
    coalesce(flat_fee, 0) as flat_fee,
    package_size,
    coalesce(free_units, 0) as free_units,
    valid_from,
    valid_to,
    {{ closing_of('_known_night') }} as known_close
from {{ source('product', 'price_entries') }}
