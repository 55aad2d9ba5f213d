with

events as (

    select
        ab_test_id,
        variant,
        subject_id,
        event_name,
        occurred_at
    from {{ ref('ab_events') }}
    where ab_test_id is not null and subject_id is not null and event_name is not null

),

exposures as (

    select
        ab_test_id,
        subject_id,
        variant,
        occurred_at,
        row_number() over (
            partition by ab_test_id, subject_id
            order by case when occurred_at is null then 1 else 0 end, occurred_at, variant
        ) as place,
        min(variant) over (partition by ab_test_id, subject_id)
        <> max(variant) over (partition by ab_test_id, subject_id) as saw_several
    from events
    where event_name = 'exposed' and variant is not null

),

-- A subject is of the variant that it saw first, and counts there once.
subjects as (

    select
        ab_test_id,
        subject_id,
        variant,
        occurred_at as exposed_at,
        saw_several
    from exposures
    where place = 1

),

variants as (

    select
        ab_test_id,
        variant,
        count(*) as n,
        row_number() over (partition by ab_test_id order by variant) as place
    from subjects
    group by ab_test_id, variant

),

totals as (

    select
        ab_test_id,
        count(*) as n_subjects,
        count(distinct variant) as n_variants,
        sum(case when saw_several then 1 else 0 end) as n_saw_several
    from subjects
    group by ab_test_id

),

-- Variant A against each other one: one row, as a rule.
pairs as (

    select
        a.ab_test_id,
        a.variant as variant_a,
        b.variant as variant_b,
        a.n as n_a,
        b.n as n_b
    from variants as a
    left join variants as b
        on
            a.ab_test_id = b.ab_test_id
            and b.place > 1
    where a.place = 1

),

metrics as (

    select distinct
        ab_test_id,
        event_name as metric
    from events
    where event_name <> 'exposed'

),

-- What was done before the exposure cannot follow from it.
conversions as (

    select
        subjects.ab_test_id,
        subjects.variant,
        events.event_name as metric,
        count(distinct subjects.subject_id) as x
    from subjects
    inner join events
        on
            subjects.ab_test_id = events.ab_test_id
            and subjects.subject_id = events.subject_id
            and events.event_name <> 'exposed'
    where events.occurred_at >= subjects.exposed_at or events.occurred_at is null or subjects.exposed_at is null
    group by subjects.ab_test_id, subjects.variant, events.event_name

),

strangers as (

    select
        events.ab_test_id,
        events.event_name as metric,
        count(distinct events.subject_id) as n_never_exposed
    from events
    left join subjects
        on
            events.ab_test_id = subjects.ab_test_id
            and events.subject_id = subjects.subject_id
    where subjects.subject_id is null
    group by events.ab_test_id, events.event_name

),

counts as (

    select
        pairs.ab_test_id,
        metrics.metric,
        pairs.variant_a,
        pairs.variant_b,
        pairs.n_a,
        pairs.n_b,
        case when metrics.metric is not null then coalesce(a.x, 0) end as x_a,
        case when metrics.metric is not null and pairs.variant_b is not null then coalesce(b.x, 0) end as x_b,
        tests.id is not null as is_known,
        tests.status,
        tests.variant_a_pct,
        tests.winner as platform_winner,
        totals.n_subjects,
        totals.n_variants,
        totals.n_saw_several,
        coalesce(strangers.n_never_exposed, 0) as n_never_exposed
    from pairs
    inner join totals on pairs.ab_test_id = totals.ab_test_id
    left join {{ ref('ab_tests') }} as tests on pairs.ab_test_id = tests.id
    left join metrics on pairs.ab_test_id = metrics.ab_test_id
    left join conversions as a
        on
            pairs.ab_test_id = a.ab_test_id
            and pairs.variant_a = a.variant
            and metrics.metric = a.metric
    left join conversions as b
        on
            pairs.ab_test_id = b.ab_test_id
            and pairs.variant_b = b.variant
            and metrics.metric = b.metric
    left join strangers
        on
            pairs.ab_test_id = strangers.ab_test_id
            and metrics.metric = strangers.metric

),

rates as (

    select
        *,
        cast(x_a as double precision) / n_a as rate_a,
        cast(x_b as double precision) / n_b as rate_b,
        {{ two_proportion_z('x_a', 'n_a', 'x_b', 'n_b') }} as z,
        {{ difference_standard_error('x_a', 'n_a', 'x_b', 'n_b') }} as standard_error,
        {{ sample_ratio_z('n_a', 'n_subjects', 'variant_a_pct / 100') }} as sample_ratio_z
    from counts

),

tested as (

    select
        *,
        {{ normal_two_sided_p('z') }} as p_value,
        {{ normal_two_sided_p('sample_ratio_z') }} as srm_p_value
    from rates

),

judged as (

    select
        *,
        srm_p_value >= 0.01 as is_ratio_healthy,
        case
            when lower(status) = 'completed' and srm_p_value >= 0.01 and p_value < 0.05 and n_variants = 2
                then case when rate_a > rate_b then variant_a else variant_b end
        end as winner
    from tested

)

select
    ab_test_id,
    metric,
    variant_a,
    variant_b,
    n_a,
    n_b,
    x_a,
    x_b,
    rate_a,
    rate_b,
    rate_b / nullif(rate_a, 0) - 1 as lift,
    z,
    p_value,
    case when standard_error > 0 then greatest(rate_b - rate_a - {{ z95() }} * standard_error, -1) end as ci_low,
    case when standard_error > 0 then least(rate_b - rate_a + {{ z95() }} * standard_error, 1) end as ci_high,
    srm_p_value,
    winner,
    status,
    variant_a_pct,
    is_ratio_healthy,
    platform_winner,
    coalesce(winner <> platform_winner, winner is not null or platform_winner is not null) as winner_differs,
    n_variants,
    cast(n_saw_several as bigint) as n_saw_several,
    n_never_exposed,
    case
        when not is_known then 'the experiment is not in ab_tests'
        when variant_b is null then 'only one variant was shown'
        when metric is null then 'nothing was measured'
        when sample_ratio_z is null then 'no share of variant A to check the ratio against'
        when not is_ratio_healthy then 'the subjects are not split as meant (sample ratio mismatch)'
        when z is null and x_a + x_b = 0 then 'no subject did it'
        when z is null then 'every subject did it'
        when coalesce(lower(status), '') <> 'completed' then 'the experiment is not completed'
        when n_variants > 2 then 'more than two variants: several comparisons would need a stricter test'
        when winner is null then 'the difference is within chance'
    end as reason
from judged
