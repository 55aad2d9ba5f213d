-- One row a subscription, calendar month of which it covers a day, and state of it that an invoice date knew.
with

covered as (

    select
        states.subscription_id,
        states.tenant_id,
        states.tenant_slug,
        states.plan,
        states.item_key,
        states.currency,
        states.net_terms_days,
        states.minimum_commitment,
        states.known_close,
        states.ended_close,
        dates.invoice_date as service_month,
        {{ next_month_of('dates.invoice_date') }} as next_month,
        greatest(states.started_on, dates.invoice_date) as covered_from,
        least(states.covered_to, {{ next_month_of('dates.invoice_date') }}) as covered_to
    from {{ ref('int_subscription_states') }} as states
    inner join {{ ref('int_billing_dates') }} as dates
        on
            states.started_on < {{ next_month_of('dates.invoice_date') }}
            and states.covered_to > dates.invoice_date
    where
        states.known_close < states.ended_close
        and states.started_on < states.covered_to

),

closed as (

    select
        *,
        {{ dbt.datediff('covered_from', 'covered_to', 'day') }}
            as days_covered,
        {{ dbt.datediff('service_month', 'next_month', 'day') }}
            as days_in_month,
        -- In force on the first day of the month, as known then: the fee is billed in advance.
        covered_from = service_month
        and known_close <= service_month
        and ended_close > service_month as is_in_advance,
        -- The first invoice that can hold what the month brings in arrears.
        greatest(next_month, known_close) as arrears_close
    from covered

)

select
    *,
    -- The first invoice that could bill the month of this subscription in arrears, and the one that could bill its fee:
    -- the prices known then stay. Never, if no invoice date in arrears knew the month covered.
    min(case when arrears_close < ended_close then arrears_close end) over (
        partition by tenant_id, subscription_id, service_month
    ) as first_close,
    min(
        case
            when is_in_advance then service_month
            when arrears_close < ended_close then arrears_close
        end
    ) over (partition by tenant_id, subscription_id, service_month) as first_fee_close
from closed
