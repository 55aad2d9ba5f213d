-- One row a service month, with a fingerprint of its invoice lines: what its lines depend on, and the invoices that
-- they stand on. A line that brings an invoice up to 0 is of the month of the invoice's date.
with

invoices as (

    select
        invoice_date,
        {{ rows_digest(['invoice_id', 'tenant_id', 'tenant_slug', 'currency', 'credited']) }} as digest
    from {{ ref('int_invoices') }}
    group by invoice_date

),

dates as (

    select
        service_month,
        invoice_date
    from {{ ref('int_invoice_lines') }}

    union

    select
        invoice_date as service_month,
        invoice_date
    from invoices

),

stood_on as (

    select
        dates.service_month,
        {{ rows_digest(['dates.invoice_date', 'invoices.digest']) }} as digest
    from dates
    left join invoices on dates.invoice_date = invoices.invoice_date
    group by dates.service_month

),

months as (

    select service_month from {{ ref('int_billed_months') }}

    union

    select service_month from stood_on

)

select
    months.service_month,
    coalesce(billed.fingerprint, '') || ' ' || coalesce(stood_on.digest, '') as fingerprint
from months
left join {{ ref('int_billed_months') }} as billed on months.service_month = billed.service_month
left join stood_on on months.service_month = stood_on.service_month
