with responses as (

    select * from {{ ref('int_response_scores') }}

),

days as (

    select
        survey_id,
        tenant_id,
        submitted_on,
        count(*) as total_responses,
        count(overall_score) as n_scored,
        coalesce(sum({{ exact_score('overall_score') }}), 0) as total,
        coalesce(sum({{ exact_score('overall_score * overall_score') }}), 0) as squares
    from responses
    where submitted_on is not null
    group by survey_id, tenant_id, submitted_on

),

weeks as (

    select
        *,
        {{ mean_of('total', 'n_scored') }} as avg_sentiment,
        cast(sum(n_scored) over last_seven_days as bigint) as n_scored_7d,
        sum(total) over last_seven_days as total_7d
    from days
    window last_seven_days as (
        partition by survey_id, tenant_id order by submitted_on
        range between interval '6 days' preceding and current row
    )

),

medians as (

    select
        survey_id,
        tenant_id,
        count(avg_sentiment) as n_days,
        {{ median('avg_sentiment') }} as median_sentiment
    from weeks
    group by survey_id, tenant_id

),

spreads as (

    select
        medians.survey_id,
        medians.tenant_id,
        medians.n_days,
        medians.median_sentiment,
        {{ median('round(abs(weeks.avg_sentiment - medians.median_sentiment), 12)') }} as mad
    from weeks
    inner join medians
        on
            weeks.survey_id is not distinct from medians.survey_id
            and weeks.tenant_id is not distinct from medians.tenant_id
    group by medians.survey_id, medians.tenant_id, medians.n_days, medians.median_sentiment

),

judged as (

    select
        weeks.*,
        spreads.n_days,
        spreads.mad,
        -- fewer days do not tell what is usual
        case
            when spreads.n_days >= 5
                then {{ modified_z('weeks.avg_sentiment', 'spreads.median_sentiment', 'spreads.mad') }}
        end as sentiment_modified_z
    from weeks
    inner join spreads
        on
            weeks.survey_id is not distinct from spreads.survey_id
            and weeks.tenant_id is not distinct from spreads.tenant_id

)

select
    survey_id,
    submitted_on as date,
    total_responses,
    avg_sentiment,
    tenant_id,
    n_scored,
    {{ standard_error('n_scored', 'total', 'squares') }} as sentiment_standard_error,
    {{ mean_of('total_7d', 'n_scored_7d') }} as avg_sentiment_7d,
    n_scored_7d,
    sentiment_modified_z,
    abs(sentiment_modified_z) > 3.5 as is_anomaly,
    {{ reasons([
        ('n_scored = 0', 'no response of the day has a score'),
        ('n_scored = 1', 'one scored response has no standard error'),
        ('n_scored_7d = 0', 'no response of the seven days has a score'),
        ('n_scored > 0 and n_days < 5', 'fewer than five days with a score to tell what is usual'),
        ('n_scored > 0 and n_days >= 5 and mad = 0', 'at least half of the days have the same mean'),
    ]) }} as reason
from judged
