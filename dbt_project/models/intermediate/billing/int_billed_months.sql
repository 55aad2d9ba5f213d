-- One row a service month, with a fingerprint of its lines but credit: of its usage lines what they depend on, of the
-- others, which are few, what they say and whether they are final.
with

plan_fees as (

    select
        service_month,
        {{ rows_digest([
            'subscription_id', 'tenant_id', 'tenant_slug', 'currency', 'invoice_date', 'line_type', 'item_key',
            'service_from', 'service_to', 'quantity', 'unit_price', 'amount_exact', 'amount', 'price_book',
            'price_entry_id', 'invoice_date <= ' ~ night(),
        ]) }} as digest
    from {{ ref('int_plan_fee_lines') }}
    group by service_month

),

minimums as (

    select
        service_month,
        {{ rows_digest([
            'tenant_id', 'tenant_slug', 'currency', 'invoice_date', 'line_type', 'service_from', 'service_to',
            'amount_exact', 'amount', 'invoice_date <= ' ~ night(),
        ]) }} as digest
    from {{ ref('int_minimum_lines') }}
    group by service_month

),

months as (

    select service_month from {{ ref('int_priced_months') }}

    union

    select service_month from plan_fees

    union

    select service_month from minimums

)

select
    months.service_month,
    coalesce(priced.fingerprint, '')
    || ' ' || coalesce(plan_fees.digest, '')
    || ' ' || coalesce(minimums.digest, '') as fingerprint
from months
left join {{ ref('int_priced_months') }} as priced on months.service_month = priced.service_month
left join plan_fees on months.service_month = plan_fees.service_month
left join minimums on months.service_month = minimums.service_month
