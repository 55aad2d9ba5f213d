-- Price books as each invoice date knew them. Priority 0 is open to every tenant billed in the book's currency.
with

books as (

    select
        name as price_book,
        currency,
        coalesce(is_active, false) as is_active,
        coalesce(priority, 0) as priority,
        received_at,
        {{ closing_of('_known_night') }} as known_close,
        {{ closing_of_end('_ended_night') }} as ended_close,
        _source_file as source_file,
        _source_line as source_line,
        {{ row_json('product', 'price_books') }} as row_json
    from {{ source('landing', 'history_price_books') }}

)

select *
from books
where known_close < ended_close
