-- Payments, of one id only the first known, then the first received, then the one with the smaller content hash.
with

payments as (

    select
        id as payment_id,
        invoice_id,
        amount,
        currency,
        paid_at,
        received_at,
        _known_night as known_night,
        {{ content_hash(['invoice_id', 'amount', 'currency', 'paid_at']) }} as content_hash,
        _source_file as source_file,
        _source_line as source_line,
        {{ row_json('supply_chain', 'payments') }} as row_json
    from {{ source('supply_chain', 'payments') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by payment_id
            order by known_night, coalesce(received_at, paid_at), content_hash
        ) as place
    from payments

)

select
    payment_id,
    invoice_id,
    amount,
    currency,
    paid_at,
    coalesce(received_at, paid_at) as received_at,
    known_night,
    content_hash,
    source_file,
    source_line,
    row_json
from ranked
where place = 1
