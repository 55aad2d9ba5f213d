-- One row a tenant, currency, service month and invoice that charges or corrects the rest to the minimum commitment.
with

commitments as (

    select
        tenant_id,
        tenant_slug,
        currency,
        service_month,
        next_month,
        arrears_close,
        covered_from,
        covered_to,
        minimum_commitment * days_covered as committed_days,
        days_in_month
    from {{ ref('int_subscription_months') }}
    where minimum_commitment > 0

),

dates as (

    select
        tenant_id,
        currency,
        service_month,
        arrears_close as invoice_date
    from commitments

    union

    select
        lines.tenant_id,
        lines.currency,
        lines.service_month,
        lines.invoice_date
    from {{ ref('int_usage_lines') }} as lines
    inner join commitments
        on
            lines.tenant_id = commitments.tenant_id
            and lines.currency = commitments.currency
            and lines.service_month = commitments.service_month

),

committed as (

    select
        dates.tenant_id,
        commitments.tenant_slug,
        dates.currency,
        dates.service_month,
        dates.invoice_date,
        min(commitments.covered_from) as service_from,
        max(commitments.covered_to) as service_to,
        {{ money_ratio('sum(commitments.committed_days)', 1, 'min(commitments.days_in_month)') }} as committed_exact
    from dates
    inner join commitments
        on
            dates.tenant_id = commitments.tenant_id
            and dates.currency = commitments.currency
            and dates.service_month = commitments.service_month
    where
        dates.invoice_date >= commitments.arrears_close
        and dates.invoice_date <= {{ night() }}
    group by
        dates.tenant_id, commitments.tenant_slug, dates.currency, dates.service_month, dates.invoice_date

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

rests as (

    select
        committed.*,
        greatest(
            {{ round_money('committed.committed_exact', 'committed.currency') }} - used.amount_to_date, 0
        ) as rest
    from committed
    inner join used
        on
            committed.tenant_id = used.tenant_id
            and committed.currency = used.currency
            and committed.service_month = used.service_month
            and committed.invoice_date = used.invoice_date

),

differences as (

    select
        *,
        rest - coalesce(
            lag(rest) over (partition by tenant_id, currency, service_month order by invoice_date), 0
        ) as amount
    from rests

)

select
    tenant_id,
    tenant_slug,
    currency,
    invoice_date,
    service_month,
    case when invoice_date = {{ next_month_of('service_month') }} then 'minimum' else 'adjustment' end as line_type,
    'minimum' as item_key,
    service_from,
    service_to,
    1 as quantity,
    cast(amount as decimal(38, 12)) as amount_exact,
    cast(amount as decimal(18, 2)) as amount
from differences
where amount <> 0
