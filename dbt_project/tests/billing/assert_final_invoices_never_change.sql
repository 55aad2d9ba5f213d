-- Laws 5 and 7: an invoice that a completed night made final stands with the same content, and none was put between
-- those: the invoices of an earlier night are a prefix of these.
select
    coalesce(finals.invoice_id, invoices.id) as broken_by,
    finals.content_hash as final_hash,
    invoices.content_hash as hash_now
from {{ ref('stg_final_invoices') }} as finals
full outer join {{ ref('invoices') }} as invoices on finals.invoice_id = invoices.id
where
    (
        finals.invoice_id is not null
        and (
            invoices.id is null
            or invoices.content_hash <> finals.content_hash
            or invoices.date <> finals.invoice_date
        )
    )
    or (
        finals.invoice_id is null
        and invoices.date <= (select max(kept.night) from {{ ref('stg_ledger_nights') }} as kept)
        and invoices.date > (
            select coalesce(max(kept.since), date '0001-01-01') from {{ ref('stg_ledger_nights') }} as kept
        )
    )
-- depends_on: {{ ref('billing_certificate') }}
