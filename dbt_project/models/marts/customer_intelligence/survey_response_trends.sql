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
        sum(n_scored) over last_seven_days as n_scored_7d,
        sum(total) over last_seven_days as total_7d
    from days
    window last_seven_days as (
        partition by survey_id, tenant_id order by submitted_on
        range between interval '6 days' preceding and current row
    )

)

select
    survey_id,
    submitted_on as date,
    total_responses,
    {{ mean_of('total', 'n_scored') }} as avg_sentiment,
    tenant_id,
    n_scored,
    sqrt(({{ sample_variance('n_scored', 'total', 'squares') }}) / nullif(n_scored, 0)) as sentiment_standard_error,
    {{ mean_of('total_7d', 'n_scored_7d') }} as avg_sentiment_7d,
    case
        when n_scored = 0 then 'no response of the day has a score'
        when n_scored = 1 then 'one scored response has no standard error'
    end as reason
from weeks
