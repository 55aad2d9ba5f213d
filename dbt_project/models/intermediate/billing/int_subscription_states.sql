-- One row a subscription and state of it that was in force, with the nights and the invoice dates that know it so.
-- A version that overlaps another subscription in force when it becomes known is refused: the version before it stays
-- in force, and the refused one is tried again each night on which something of the tenant changes.
with recursive versions as (

    select
        *,
        row_number() over (order by tenant_id, subscription_id, known_night) as version
    from {{ ref('stg_subscriptions') }}

),

-- Tenants with two versions that were known at once and cover a day both. For all others there is nothing to refuse.
disputed as (

    select distinct earlier.tenant_id
    from versions as earlier
    inner join versions as later
        on
            earlier.tenant_id = later.tenant_id
            and earlier.subscription_id < later.subscription_id
            and earlier.started_on < later.covered_to
            and earlier.covered_to > later.started_on
    where
        earlier.started_on < earlier.covered_to
        and later.started_on < later.covered_to
        and earlier.known_night < coalesce(later.ended_night, date '9999-12-31')
        and later.known_night < coalesce(earlier.ended_night, date '9999-12-31')

),

disputed_versions as (

    select versions.*
    from versions
    inner join disputed on versions.tenant_id = disputed.tenant_id

),

turns as (

    select
        tenant_id,
        known_night as night,
        row_number() over (partition by tenant_id order by known_night) as turn
    from disputed_versions
    group by tenant_id, known_night

),

-- Each step puts one version in force, or goes on to the tenant's next night when none fits. A step's rows are the
-- versions in force, and one without a version that keeps the tenant's place.
steps as (

    select
        turns.tenant_id,
        turns.turn,
        turns.night,
        cast(1 as bigint) as step,
        cast(null as bigint) as version,
        cast(null as {{ dbt.type_string() }}) as subscription_id,
        cast(null as date) as started_on,
        cast(null as date) as covered_to
    from turns
    where turns.turn = 1

    union all

    (
        with places as (

            select *
            from steps
            where version is null

        ),

        tried as (

            select
                places.tenant_id,
                versions.version,
                versions.subscription_id,
                versions.started_on,
                versions.covered_to,
                row_number() over (
                    partition by places.tenant_id
                    order by versions.known_night, versions.started_on, versions.subscription_id
                ) as place
            from places
            inner join disputed_versions as versions
                on
                    places.tenant_id = versions.tenant_id
                    and places.night >= versions.known_night
                    and places.night < coalesce(versions.ended_night, date '9999-12-31')
            where not exists (
                    select 1
                    from steps as standing
                    where
                        standing.tenant_id = versions.tenant_id
                        and (
                            standing.version = versions.version
                            or (
                                standing.subscription_id <> versions.subscription_id
                                and standing.started_on < standing.covered_to
                                and versions.started_on < versions.covered_to
                                and standing.started_on < versions.covered_to
                                and versions.started_on < standing.covered_to
                            )
                        )
                )

        ),

        taken as (

            select * from tried
            where place = 1

        )

        select
            steps.tenant_id,
            next_turns.turn,
            next_turns.night,
            steps.step + 1 as step,
            steps.version,
            steps.subscription_id,
            steps.started_on,
            steps.covered_to
        from steps
        left join taken on steps.tenant_id = taken.tenant_id
        inner join turns as next_turns
            on
                steps.tenant_id = next_turns.tenant_id
                and next_turns.turn = steps.turn + case when taken.version is null then 1 else 0 end
        where
            steps.version is null
            or taken.version is null
            or steps.subscription_id <> taken.subscription_id

        union all

        select
            places.tenant_id,
            places.turn,
            places.night,
            places.step + 1 as step,
            taken.version,
            taken.subscription_id,
            taken.started_on,
            taken.covered_to
        from taken
        inner join places on taken.tenant_id = places.tenant_id
    )

),

in_force as (

    select
        version,
        min(night) as accepted_night
    from steps
    where version is not null
    group by version

),

accepted as (

    select
        versions.*,
        versions.known_night as accepted_night,
        versions.ended_night as replaced_night
    from versions
    left join disputed on versions.tenant_id = disputed.tenant_id
    where disputed.tenant_id is null

    union all

    select
        versions.*,
        in_force.accepted_night,
        lead(in_force.accepted_night) over (
            partition by versions.tenant_id, versions.subscription_id order by in_force.accepted_night
        ) as replaced_night
    from versions
    inner join in_force on versions.version = in_force.version

)

select
    subscription_id,
    tenant_id,
    tenant_slug,
    plan,
    item_key,
    currency,
    started_on,
    ended_on,
    covered_to,
    net_terms_days,
    minimum_commitment,
    known_night,
    accepted_night,
    replaced_night,
    {{ closing_of('accepted_night') }} as known_close,
    {{ closing_of_end('replaced_night') }} as ended_close
from accepted
