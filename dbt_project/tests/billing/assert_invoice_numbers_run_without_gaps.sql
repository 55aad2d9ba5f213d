-- Law 7: numbers run from 1 without a gap, in the order of date, tenant slug and currency.
with

numbered as (

    select
        id,
        cast(replace(id, '{{ var("invoice_prefix", "INV-24-") }}', '') as bigint) as number,
        row_number() over (order by date, tenant_slug, currency) as place
    from {{ ref('invoices') }}

)

select *
from numbered
where number <> place
