-- One row per tenant, topic and month since the topic was first touched by a response with a CSAT: the topic's impact
-- on all CSAT answers that were known at the end of the month (of the night, for the month that has not ended). What
-- was corrected or withdrawn since counts in the months before as it was known then.
with answers as (

    select
        tenant_id,
        cast(null as {{ dbt.type_string() }}) as topic_id,
        csat,
        submitted_on,
        known_night,
        cast(null as date) as ended_night
    from {{ ref('int_response_scores') }}
    where csat is not null

    union all

    select
        tenant_id,
        topic_id,
        csat,
        submitted_on,
        known_night,
        cast(null as date) as ended_night
    from {{ ref('int_response_topics') }}
    where csat is not null

    union all

    select
        tenant_id,
        topic_id,
        csat,
        submitted_on,
        known_night,
        ended_night
    from {{ ref('int_former_answers') }}

),

-- An answer comes in with the month in which it became known, and goes with the one in which that ended.
changes as (

    select
        tenant_id,
        topic_id,
        csat,
        -- a row that was known from the beginning counts from its own day on
        {{ month_of("case when known_night > cast('1900-01-01' as date) then known_night else submitted_on end") }}
            as month,
        1 as n
    from answers

    union all

    select
        tenant_id,
        topic_id,
        csat,
        {{ month_of('ended_night') }} as month,
        -1 as n
    from answers
    where ended_night is not null

),

-- There are few ratings, so that answers are counted before anything is worked out from them.
counted as (

    select
        tenant_id,
        topic_id,
        csat,
        month,
        cast(sum(n) as bigint) as n
    from changes
    group by tenant_id, topic_id, csat, month

),

calendar as (

    select
        coalesce(min(month), {{ month_of(night()) }}) as first_month,
        {{ month_of(night()) }} as last_month
    from counted
    where month <= {{ night() }}

),

months as (

    {{ month_spine('(select first_month from calendar)', '(select last_month from calendar)') | indent(4) }}

),

-- topic_id null: all answers of the tenant
known as (

    select
        counted.tenant_id,
        counted.topic_id,
        least(coalesce(counted.month, calendar.first_month), calendar.last_month) as month,
        sum(counted.n) as n,
        sum({{ exact_score('counted.csat * counted.n') }}) as total,
        sum({{ exact_score('counted.csat * counted.csat * counted.n') }}) as squares
    from counted
    cross join calendar
    group by
        counted.tenant_id,
        counted.topic_id,
        least(coalesce(counted.month, calendar.first_month), calendar.last_month)

),

series as (

    select
        tenant_id,
        topic_id,
        min(month) as first_month
    from known
    group by tenant_id, topic_id

),

so_far as (

    select
        series.tenant_id,
        series.topic_id,
        months.month,
        sum(coalesce(known.n, 0)) over running as n,
        sum(coalesce(known.total, 0)) over running as total,
        sum(coalesce(known.squares, 0)) over running as squares
    from series
    inner join months on series.first_month <= months.month
    left join known
        on
            series.tenant_id is not distinct from known.tenant_id
            and series.topic_id is not distinct from known.topic_id
            and months.month = known.month
    window running as (
        partition by series.tenant_id, series.topic_id order by months.month
        rows between unbounded preceding and current row
    )

)

select
    topics.tenant_id,
    topics.topic_id,
    topics.month,
    cast(everyone.n as bigint) as n_responses,
    cast(topics.n as bigint) as n_topic,
    case
        when topics.n > 0
            then {{ leave_one_out_impact('everyone.n', 'everyone.total', 'topics.n', 'topics.total') }}
    end as impact,
    {{ impact_standard_error(
        'everyone.n', 'everyone.total', 'everyone.squares', 'topics.n', 'topics.total', 'topics.squares'
    ) }} as standard_error,
    {{ mean_of('everyone.total', 'everyone.n') }} as mean_csat,
    {{ mean_of('(everyone.total - topics.total)', '(everyone.n - topics.n)') }} as mean_without_topic
from so_far as topics
inner join so_far as everyone
    on
        topics.tenant_id is not distinct from everyone.tenant_id
        and topics.month = everyone.month
        and everyone.topic_id is null
where topics.topic_id is not null
