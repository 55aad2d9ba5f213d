with

products as (

    select
        id,
        tenant_id
    from {{ ref('products') }}

),

-- Exact sums, so that no figure depends on the order of the rows.
feedback as (

    select
        events.product_id,
        events.tenant_id,
        count(*) as n,
        sum({{ exact_score('events.sentiment_score') }}) as total,
        sum({{ exact_score('events.sentiment_score') }} * {{ exact_score('events.sentiment_score') }}) as squares
    from {{ ref('stg_customer_events') }} as events
    where events.sentiment_score is not null and events.product_id is not null
    group by events.product_id, events.tenant_id

),

means as (

    select
        product_id,
        tenant_id,
        n,
        {{ mean_of('total', 'n') }} as mean_sentiment,
        sqrt(({{ sample_variance('n', 'total', 'squares') }}) / n) as standard_error
    from feedback

),

-- The table has no key: of several rows of a product the one with the most issues is shown.
intelligence as (

    select
        product_id,
        quality_score,
        case when sentiment_score between -1 and 1 then sentiment_score end as sentiment_score,
        issue_count,
        row_number() over (
            partition by product_id order by issue_count desc, quality_score asc, sentiment_score asc
        ) as place
    from {{ ref('product_intelligence') }}

)

select
    intelligence.product_id,
    products.tenant_id,
    intelligence.quality_score,
    intelligence.issue_count,
    intelligence.sentiment_score as platform_sentiment,
    means.mean_sentiment,
    coalesce(means.n, 0) as n_feedback,
    {{ clamped('means.mean_sentiment - ' ~ z95() ~ ' * means.standard_error', -1, 1) }} as sentiment_low,
    {{ clamped('means.mean_sentiment + ' ~ z95() ~ ' * means.standard_error', -1, 1) }} as sentiment_high,
    intelligence.sentiment_score - means.mean_sentiment as sentiment_difference,
    case
        when products.id is null then 'the product is not in products'
        when means.n is null then 'no scored feedback names the product'
        when means.standard_error is null then 'one piece of feedback: no interval'
        when intelligence.sentiment_score is null then 'the platform tells no sentiment'
    end as reason
from intelligence
left join products on intelligence.product_id = products.id
left join means
    on
        products.id = means.product_id
        and products.tenant_id is not distinct from means.tenant_id
where intelligence.place = 1 and intelligence.product_id is not null
