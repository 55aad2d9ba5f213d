-- One row an invoice: a tenant, currency and first of a month, with its number, its due date and the note it opens.
with

sums as (

    select
        tenant_id,
        tenant_slug,
        currency,
        invoice_date,
        sum(amount) as lines_amount
    from {{ ref('int_invoice_lines') }}
    group by tenant_id, tenant_slug, currency, invoice_date
    -- A tenant with nothing but lines kept at 0.00 gets no invoice.
    having sum(case when amount <> 0 then 1 else 0 end) > 0

),

numbered as (

    select
        *,
        greatest(lines_amount, 0) as amount,
        -- Below 0 the invoice is brought to 0 and the rest is a credit note.
        greatest(-lines_amount, 0) as credited,
        -- The order in which they became final: with the night of their date, then by slug and currency.
        row_number() over (order by invoice_date, tenant_slug, currency, tenant_id) as invoice_number
    from sums

),

noted as (

    select
        *,
        sum(case when credited > 0 then 1 else 0 end) over (
            order by invoice_number rows between unbounded preceding and current row
        ) as note_number
    from numbered

),

terms as (

    select
        noted.invoice_number,
        subscriptions.net_terms_days,
        -- The subscription that covers the date, else the last one.
        row_number() over (
            partition by noted.invoice_number
            order by
                case when noted.invoice_date < subscriptions.covered_to then 0 else 1 end asc,
                subscriptions.started_on desc,
                subscriptions.subscription_id asc
        ) as place
    from noted
    inner join {{ ref('int_subscription_states') }} as subscriptions
        on
            noted.tenant_id = subscriptions.tenant_id
            and noted.currency = subscriptions.currency
            -- What becomes known later never moves the due date of a final invoice.
            and noted.invoice_date >= subscriptions.known_close
            and noted.invoice_date < subscriptions.ended_close
            -- A start counts on its own day, however early it was announced.
            and noted.invoice_date >= subscriptions.started_on
            -- One that ends as it starts covers nothing.
            and subscriptions.started_on < subscriptions.covered_to

)

select
    {{ document_number(var('invoice_prefix'), 'noted.invoice_number') }} as invoice_id,
    noted.invoice_number,
    noted.tenant_id,
    noted.tenant_slug,
    noted.currency,
    noted.invoice_date,
    cast({{ dbt.dateadd('day', 'coalesce(terms.net_terms_days, 30)', 'noted.invoice_date') }} as date) as due_date,
    cast(noted.amount as decimal(18, 2)) as amount,
    cast(noted.credited as decimal(18, 2)) as credited,
    case
        when noted.credited > 0 then {{ document_number(var('credit_note_prefix'), 'noted.note_number') }}
    end as credit_note_id
from noted
left join terms
    on
        noted.invoice_number = terms.invoice_number
        and terms.place = 1
