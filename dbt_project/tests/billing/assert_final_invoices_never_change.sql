-- Laws 5 and 7: an invoice that a completed night made final stands with the same content, and none was put between
-- those: the invoices of an earlier night are a prefix of these.
select
    coalesce(final_invoices.id, invoices.id) as broken_by,
    final_invoices.content_hash as final_hash,
    invoices.content_hash as content_hash
from {{ source('landing', 'final_invoices') }} as final_invoices
full outer join {{ ref('invoices') }} as invoices on final_invoices.id = invoices.id
where
    (
        final_invoices.id is not null
        and (
            invoices.id is null
            or invoices.content_hash <> final_invoices.content_hash
            or invoices.date <> final_invoices.date
        )
    )
    or (
        final_invoices.id is null
        and invoices.date <= (select max(kept.night) from {{ source('landing', 'ledger_nights') }} as kept)
        and invoices.date > (
            select coalesce(max(kept.since), date '0001-01-01') from {{ source('landing', 'ledger_nights') }} as kept
        )
    )
