-- One row a subscription and calendar month of which it covers a day, up to the month of the night.
with

covered as (

    select
        subscriptions.subscription_id,
        subscriptions.tenant_id,
        subscriptions.tenant_slug,
        subscriptions.plan,
        subscriptions.item_key,
        subscriptions.currency,
        subscriptions.net_terms_days,
        subscriptions.minimum_commitment,
        subscriptions.known_close,
        dates.invoice_date as service_month,
        {{ next_month_of('dates.invoice_date') }} as next_month,
        greatest(subscriptions.started_on, dates.invoice_date) as covered_from,
        least(subscriptions.covered_to, {{ next_month_of('dates.invoice_date') }}) as covered_to
    from {{ ref('int_subscriptions_accepted') }} as subscriptions
    inner join {{ ref('int_billing_dates') }} as dates
        on
            subscriptions.started_on < {{ next_month_of('dates.invoice_date') }}
            and subscriptions.covered_to > dates.invoice_date

)

select
    *,
    {{ dbt.datediff('covered_from', 'covered_to', 'day') }}
        as days_covered,
    {{ dbt.datediff('service_month', 'next_month', 'day') }}
        as days_in_month,
    -- The first invoice that can hold what the month brings in arrears.
    greatest(next_month, known_close) as arrears_close
from covered
