-- Which tenant may use which price book, on which days, as each invoice date knew it.
with

assignments as (

    select
        tenant_id,
        price_book,
        valid_from,
        coalesce(valid_to, date '9999-12-31') as valid_to,
        {{ closing_of('_known_night') }} as known_close,
        {{ closing_of_end('_ended_night') }} as ended_close
    from {{ source('landing', 'history_price_book_assignments') }}

)

select *
from assignments
where
    known_close < ended_close
    and valid_from < valid_to
