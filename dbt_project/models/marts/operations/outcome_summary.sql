with

outcomes as (

    select
        coalesce(lower(verification_status), 'unknown') as verification_status,
        revenue_impact,
        cast(case when operational_hrs_saved between -1e9 and 1e9 then operational_hrs_saved end as decimal(18, 4))
            as hours_saved
    from {{ ref('outcome_ledger') }}

),

sums as (

    select
        verification_status,
        count(*) as outcomes,
        sum(revenue_impact) as revenue_impact,
        sum(hours_saved) as hours_saved,
        count(revenue_impact) as n_revenue,
        count(hours_saved) as n_hours
    from outcomes
    group by verification_status

),

everything as (

    select
        cast(sum(outcomes) as bigint) as outcomes,
        sum(revenue_impact) as revenue_impact
    from sums

)

select
    sums.verification_status,
    sums.outcomes,
    cast(sums.revenue_impact as decimal(18, 2)) as revenue_impact,
    cast(sums.hours_saved as double precision) as operational_hrs_saved,
    sums.n_revenue,
    sums.n_hours,
    cast(sums.outcomes as double precision) / everything.outcomes as share_of_outcomes,
    {{ wilson_low('sums.outcomes', 'everything.outcomes') }} as share_low,
    {{ wilson_high('sums.outcomes', 'everything.outcomes') }} as share_high,
    cast(sums.revenue_impact as double precision) / nullif(cast(everything.revenue_impact as double precision), 0)
        as share_of_revenue,
    case
        when sums.n_revenue = 0 and sums.n_hours = 0 then 'neither revenue nor hours were sent'
        when sums.n_revenue = 0 then 'no revenue was sent'
        when sums.n_hours = 0 then 'no hours were sent'
        when everything.revenue_impact = 0 then 'no revenue at all to take a share of'
    end as reason
from sums
cross join everything
