-- Price entries as each invoice date knew them, one row a tier, with the amounts that hold where the source leaves them
-- empty. Rows that were held back are here too: the rest of their set must not pass for the whole.
with

entries as (

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
        coalesce(valid_to, date '9999-12-31') as valid_to,
        _refused as is_refused,
        received_at,
        {{ closing_of('_known_night') }} as known_close,
        {{ closing_of_end('_ended_night') }} as ended_close,
        _source_file as source_file,
        _source_line as source_line,
        {{ row_json('product', 'price_entries') }} as row_json
    from {{ source('landing', 'history_price_entries') }}

)

select *
from entries
where
    known_close < ended_close
    and price_book is not null
    and item_key is not null
    and valid_from is not null
