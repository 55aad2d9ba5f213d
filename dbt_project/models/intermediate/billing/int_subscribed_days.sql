-- One row a tenant, currency and run of days in a month that a subscription covers, with the invoice dates that know
-- it: from `billed_from` to before `billed_to` the days' usage is billed in that currency.
with

months as (

    select
        *,
        count(*) over (partition by tenant_id, service_month) as n_states
    from {{ ref('int_subscription_months') }}
    where arrears_close < ended_close

),

bounds as (

    select
        tenant_id,
        service_month,
        covered_from as day
    from months
    where n_states > 1

    union

    select
        tenant_id,
        service_month,
        covered_to as day
    from months
    where n_states > 1

),

runs as (

    select
        tenant_id,
        service_month,
        day as day_from,
        lead(day) over (partition by tenant_id, service_month order by day) as day_to
    from bounds

),

covered as (

    select
        months.tenant_id,
        months.tenant_slug,
        months.currency,
        months.service_month,
        months.next_month,
        runs.day_from,
        runs.day_to,
        months.arrears_close as billed_from,
        months.ended_close as billed_to,
        -- The prices known when the day was first covered stay, whichever subscription has it later.
        first_value(months.first_close) over (
            partition by months.tenant_id, months.currency, months.service_month, runs.day_from
            order by months.arrears_close
        ) as first_close,
        -- The dates of two states that follow each other are one stretch: nothing changes between them.
        case
            when
                lag(months.ended_close) over (
                    partition by months.tenant_id, months.currency, months.service_month, runs.day_from
                    order by months.arrears_close
                ) = months.arrears_close
                then 0
            else 1
        end as is_new
    from months
    inner join runs
        on
            months.tenant_id = runs.tenant_id
            and months.service_month = runs.service_month
            and months.covered_from <= runs.day_from
            and months.covered_to > runs.day_from
    where
        months.n_states > 1
        and runs.day_to is not null

),

stretches as (

    select
        *,
        sum(is_new) over (
            partition by tenant_id, currency, service_month, day_from order by billed_from
            rows between unbounded preceding and current row
        ) as stretch
    from covered

)

select
    tenant_id,
    tenant_slug,
    currency,
    service_month,
    next_month,
    covered_from as day_from,
    covered_to as day_to,
    arrears_close as billed_from,
    ended_close as billed_to,
    first_close
from months
where n_states = 1

union all

select
    tenant_id,
    {{ dbt.any_value('tenant_slug') }} as tenant_slug,
    currency,
    service_month,
    next_month,
    day_from,
    day_to,
    min(billed_from) as billed_from,
    max(billed_to) as billed_to,
    min(first_close) as first_close
from stretches
group by tenant_id, currency, service_month, next_month, day_from, day_to, stretch
