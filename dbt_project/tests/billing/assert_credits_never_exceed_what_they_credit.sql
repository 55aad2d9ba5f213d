-- Law 8: a credit note is used for no more than it was opened with, and what is used and left of a tenant's notes is
-- what they were opened with.
with

notes as (

    select
        tenant_id,
        currency,
        sum(amount) as opened,
        sum(amount_left) as amount_left,
        min(amount_left) as lowest_left,
        min(amount - amount_left) as lowest_used
    from {{ ref('credit_notes') }}
    group by tenant_id, currency

),

uses as (

    select
        tenant_id,
        currency,
        sum(credit_used) as used,
        min(credit_used) as lowest_use,
        min(amount - credit_used) as lowest_rest
    from {{ ref('int_invoices') }}
    group by tenant_id, currency

)

select
    uses.tenant_id,
    uses.currency,
    notes.opened,
    uses.used,
    notes.amount_left
from uses
left join notes
    on
        uses.tenant_id = notes.tenant_id
        and uses.currency = notes.currency
where
    uses.used + coalesce(notes.amount_left, 0) <> coalesce(notes.opened, 0)
    or uses.lowest_use < 0
    or uses.lowest_rest < 0
    or notes.lowest_left < 0
    or notes.lowest_used < 0
