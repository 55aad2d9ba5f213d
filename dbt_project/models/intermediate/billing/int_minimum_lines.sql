-- One row a tenant, currency, service month and invoice that charges or corrects the rest to the minimum commitment.
with

-- Each state of a subscription adds its days from the first date that bills them to before the one that knows better.
states as (

    select
        tenant_id,
        tenant_slug,
        currency,
        service_month,
        days_in_month,
        covered_from,
        covered_to,
        arrears_close as counted_from,
        ended_close as counted_to,
        minimum_commitment * days_covered as committed_days
    from {{ ref('int_subscription_months') }}
    where
        minimum_commitment > 0
        and arrears_close < ended_close

),

first_states as (

    select
        tenant_id,
        currency,
        service_month,
        min(counted_from) as counted_from
    from states
    group by tenant_id, currency, service_month

),

dates as (

    select
        tenant_id,
        currency,
        service_month,
        counted_from as invoice_date
    from states

    union

    select
        tenant_id,
        currency,
        service_month,
        counted_to as invoice_date
    from states

    union

    select
        lines.tenant_id,
        lines.currency,
        lines.service_month,
        lines.invoice_date
    from {{ ref('int_usage_lines') }} as lines
    inner join first_states
        on
            lines.tenant_id = first_states.tenant_id
            and lines.currency = first_states.currency
            and lines.service_month = first_states.service_month
            and lines.invoice_date >= first_states.counted_from

),

committed as (

    select
        dates.tenant_id,
        {{ dbt.any_value('states.tenant_slug') }} as tenant_slug,
        dates.currency,
        dates.service_month,
        dates.invoice_date,
        {{ dbt.any_value('states.days_in_month') }} as days_in_month,
        min(case when dates.invoice_date < states.counted_to then states.covered_from end) as service_from,
        max(case when dates.invoice_date < states.counted_to then states.covered_to end) as service_to,
        sum(case when dates.invoice_date < states.counted_to then states.committed_days else 0 end) as committed_days
    from dates
    inner join states
        on
            dates.tenant_id = states.tenant_id
            and dates.currency = states.currency
            and dates.service_month = states.service_month
            and dates.invoice_date >= states.counted_from
    where dates.invoice_date <= {{ draft_date() }}
    group by dates.tenant_id, dates.currency, dates.service_month, dates.invoice_date

),

used as (

    select
        committed.tenant_id,
        committed.currency,
        committed.service_month,
        committed.invoice_date,
        coalesce(sum(lines.amount), 0) as amount_to_date
    from committed
    left join {{ ref('int_usage_lines') }} as lines
        on
            committed.tenant_id = lines.tenant_id
            and committed.currency = lines.currency
            and committed.service_month = lines.service_month
            and committed.invoice_date >= lines.invoice_date
    group by committed.tenant_id, committed.currency, committed.service_month, committed.invoice_date

),

exact as (

    select
        committed.*,
        used.amount_to_date,
        {{ money_ratio('committed.committed_days', 1, 'committed.days_in_month') }} as committed_exact
    from committed
    inner join used
        on
            committed.tenant_id = used.tenant_id
            and committed.currency = used.currency
            and committed.service_month = used.service_month
            and committed.invoice_date = used.invoice_date

),

rests as (

    select
        *,
        greatest({{ round_money('committed_exact', 'currency') }} - amount_to_date, 0) as rest
    from exact

),

differences as (

    select
        *,
        rest - coalesce(lag(rest) over months, 0) as amount,
        lag(service_from) over months as from_before,
        lag(service_to) over months as to_before
    from rests
    window months as (partition by tenant_id, currency, service_month order by invoice_date)

)

select
    tenant_id,
    tenant_slug,
    currency,
    invoice_date,
    service_month,
    case when invoice_date = {{ next_month_of('service_month') }} then 'minimum' else 'adjustment' end as line_type,
    'minimum' as item_key,
    -- The days that the commitment is for; once it is for none, those that it was for.
    coalesce(service_from, from_before) as service_from,
    coalesce(service_to, to_before) as service_to,
    1 as quantity,
    cast(amount as decimal(38, 12)) as amount_exact,
    cast(amount as decimal(18, 2)) as amount
from differences
where amount <> 0
