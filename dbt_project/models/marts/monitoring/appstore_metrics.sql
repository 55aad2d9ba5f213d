with

ratings as (

    select
        platform,
        -- Double, not a whole number: half a star is lost otherwise.
        cast(sum(stars * rating_count) as double) / nullif(sum(rating_count), 0) as avg_rating,
        cast(sum(rating_count) as bigint) as rating_count,
        cast(sum(pending_reviews) as bigint) as pending_reviews
    from {{ ref('appstore_ratings') }}
    group by platform

),

versions as (

    select
        platform,
        cast(sum(downloads) as bigint) as downloads,
        -- A version weighs by its downloads; one without a rate has no say in the mean.
        sum(crash_free_rate * downloads) / nullif(sum(case when crash_free_rate is not null then downloads end), 0)
            as crash_free_rate
    from {{ ref('appstore_versions') }}
    group by platform

),

latest as (

    select
        platform,
        version,
        row_number() over (partition by platform order by released_on desc, version desc) as place
    from {{ ref('appstore_versions') }}
    where released_on is not null

)

select
    coalesce(ratings.platform, versions.platform) as platform,
    ratings.avg_rating,
    versions.downloads,
    versions.crash_free_rate,
    ratings.pending_reviews,
    ratings.rating_count,
    latest.version as latest_version
from ratings
full outer join versions on ratings.platform = versions.platform
left join latest
    on
        coalesce(ratings.platform, versions.platform) = latest.platform
        and latest.place = 1
