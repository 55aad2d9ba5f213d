with

customers as (

    select * from {{ ref('stg_customers') }}

),

weights as (

    select * from {{ ref('health_weights') }}

),

feedback as (

    select * from {{ ref('int_feedback_scores') }}

),

-- A customer is judged by what the customer told this tenant.
months as (

    select
        customer_id,
        tenant_id,
        component,
        {{ month_of('occurred_at') }} as month,
        count(*) as n
    from feedback
    group by customer_id, tenant_id, component, {{ month_of('occurred_at') }}

),

later as (

    select
        *,
        sum(n) over (
            partition by customer_id, tenant_id, component
            order by case when month is null then 1 else 0 end asc, month desc
            rows between unbounded preceding and 1 preceding
        ) as n_later
    from months

),

-- Months before these hold no signal that counts: enough are later.
latest_months as (

    select
        later.customer_id,
        later.tenant_id,
        later.component,
        later.month
    from later
    inner join customers
        on
            later.customer_id = customers.id
            and later.tenant_id = customers.tenant_id
    inner join weights on later.component = weights.component
    where coalesce(later.n_later, 0) < weights.latest_signals

),

signals as (

    select
        customers.id as customer_id,
        'nps' as component,
        answers.id as signal_id,
        coalesce(answers.submitted_at, answers.received_at) as occurred_at,
        cast(answers.score as double precision) as figure
    from {{ ref('nps_events') }} as answers
    inner join customers on answers.customer_id = customers.id
    where lower(answers.status) = 'submitted' and answers.score between 0 and 10

    union all

    select
        feedback.customer_id,
        feedback.component,
        feedback.entity_id as signal_id,
        feedback.occurred_at,
        feedback.figure
    from feedback
    inner join latest_months
        on
            feedback.customer_id = latest_months.customer_id
            and feedback.tenant_id = latest_months.tenant_id
            and feedback.component = latest_months.component
            and {{ month_of('feedback.occurred_at') }} is not distinct from latest_months.month

),

recent as (

    select
        *,
        row_number() over (
            partition by customer_id, component
            order by case when occurred_at is null then 1 else 0 end asc, occurred_at desc, signal_id asc
        ) as place
    from signals

),

-- Figures become points from 0 to 100 before they are averaged; sums of decimals do not depend on the order of rows.
points as (

    select
        recent.customer_id,
        recent.component,
        weights.weight,
        recent.occurred_at,
        cast(
            100 * least(greatest((recent.figure - weights.worst) / (weights.best - weights.worst), 0), 1)
            as decimal(18, 9)
        ) as points
    from recent
    inner join weights on recent.component = weights.component
    where recent.place <= weights.latest_signals

),

components as (

    select
        customer_id,
        component,
        weight,
        count(*) as n,
        max(occurred_at) as latest_at,
        {{ mean_of('sum(points)', 'count(*)') }} as score,
        {{ sample_variance('count(*)', 'sum(points)', 'sum(points * points)') }} as variance
    from points
    group by customer_id, component, weight

),

scores as (

    select
        customer_id,
        cast(sum(n) as bigint) as n_signals,
        max(latest_at) as latest_at,
        -- Rounded: beyond that is only the noise of adding in another order.
        round(sum(score * weight) / sum(weight), 9) as score,
        -- Every component needs two signals before its own spread is known.
        case
            when min(n) > 1 then round(sqrt(sum(weight * weight * variance / n)) / sum(weight), 9)
        end as standard_error,
        max(case when component = 'nps' then score end) as nps_score,
        max(case when component = 'csat' then score end) as csat_score,
        max(case when component = 'sentiment' then score end) as sentiment_score,
        max(case when component = 'nps' then n end) as n_nps,
        max(case when component = 'csat' then n end) as n_csat,
        max(case when component = 'sentiment' then n end) as n_sentiment
    from components
    group by customer_id

)

select
    customers.id as customer_id,
    customers.tenant_id,
    coalesce(customers.platform_health_score, cast(round(scores.score) as bigint)) as health_score,
    case
        when customers.platform_health_score is not null then 'platform'
        when scores.score is not null then 'computed'
    end as score_source,
    scores.score as computed_score,
    -- greatest() and least() leave nulls aside in some engines, and an unknown end is not a 0.
    case
        when scores.standard_error is not null then greatest(scores.score - {{ z95() }} * scores.standard_error, 0)
    end as computed_low,
    case
        when scores.standard_error is not null then least(scores.score + {{ z95() }} * scores.standard_error, 100)
    end as computed_high,
    scores.nps_score,
    scores.csat_score,
    scores.sentiment_score,
    coalesce(scores.n_nps, 0) as n_nps,
    coalesce(scores.n_csat, 0) as n_csat,
    coalesce(scores.n_sentiment, 0) as n_sentiment,
    coalesce(scores.n_signals, 0) as n_signals,
    cast(scores.latest_at as date) as latest_signal_on,
    customers.platform_health_score - cast(round(scores.score) as bigint) as difference,
    case
        when scores.score is null then 'no submitted answer, rating or scored feedback'
        when scores.standard_error is null then 'a component with one signal: no interval'
    end as reason
from customers
left join scores on customers.id = scores.customer_id
