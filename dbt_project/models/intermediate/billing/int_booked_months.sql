-- One row a month of the books, by the date of invoices and the day of payments, with a fingerprint of the invoices,
-- lines, payments and uses of credit that are booked in it.
with

lines as (

    select
        invoice_date as service_month,
        {{ rows_digest([
            'line_id', 'tenant_id', 'currency', 'line_type', 'item_key', 'service_from', 'service_to', 'quantity',
            'unit_price', 'amount_exact', 'amount', 'price_entry_id',
        ]) }} as digest
    from {{ ref('int_invoice_lines') }}
    group by invoice_date

),

invoices as (

    select
        invoice_date as service_month,
        {{ rows_digest([
            'invoice_id', 'tenant_id', 'tenant_slug', 'currency', 'amount', 'credited', 'credit_note_id',
        ]) }} as digest
    from {{ ref('int_invoices') }}
    group by invoice_date

),

payments as (

    select
        {{ month_of('paid_on') }} as service_month,
        {{ rows_digest([
            'payment_id', 'status', 'invoice_id', 'credit_note_id', 'tenant_id', 'tenant_slug', 'currency', 'amount',
            'paid_on', 'counted_night',
        ]) }} as digest
    from {{ ref('int_payments_applied') }}
    where status = 'counted'
    group by {{ month_of('paid_on') }}

),

uses as (

    select
        {{ month_of('booked_on') }} as service_month,
        {{ rows_digest([
            'credit_note_id', 'night', 'payment_id', 'amount', 'currency', 'tenant_id', 'tenant_slug', 'invoice_id',
            'booked_on',
        ]) }} as digest
    from {{ ref('int_booked_credit_uses') }}
    group by {{ month_of('booked_on') }}

),

months as (

    select service_month from lines

    union

    select service_month from invoices

    union

    select service_month from payments

    union

    select service_month from uses

)

select
    months.service_month,
    coalesce(lines.digest, '')
    || ' ' || coalesce(invoices.digest, '')
    || ' ' || coalesce(payments.digest, '')
    || ' ' || coalesce(uses.digest, '') as fingerprint
from months
left join lines on months.service_month = lines.service_month
left join invoices on months.service_month = invoices.service_month
left join payments on months.service_month = payments.service_month
left join uses on months.service_month = uses.service_month
