with records as (

    select
        tenant_id,
        source_platform,
        source_id,
        is_customer,
        customer_id,
        canonical_id,
        confidence,
        coalesce(name, email, cast(date_of_birth as {{ dbt.type_string() }})) is not null as is_comparable,
        count(case when not is_customer then 1 end) over (partition by tenant_id, customer_id) as n_aliases
    from {{ ref('stg_identity_records') }}

),

-- The lowest number stands for a cluster: a customer if there is one, of several one that platforms link ids to.
numbered as (

    select
        *,
        row_number() over (
            order by
                case when is_customer then 0 else 1 end,
                case when n_aliases > 0 then 0 else 1 end,
                tenant_id,
                source_platform,
                source_id
        ) as number
    from records
    where tenant_id is not null

),

found as (

    select
        lefts.number as left_number,
        rights.number as right_number,
        links.match_probability as probability,
        links.match_weight,
        links.status
    from {{ ref('identity_links') }} as links
    inner join numbered as lefts
        on
            links.tenant_id = lefts.tenant_id
            and links.left_platform = lefts.source_platform
            and links.left_id = lefts.source_id
    inner join numbered as rights
        on
            links.tenant_id = rights.tenant_id
            and links.right_platform = rights.source_platform
            and links.right_id = rights.source_id

),

links as (

    select
        left_number,
        right_number,
        probability
    from found
    where status in ('linked', 'confirmed')

    union all

    -- a link that the platform is sure of, or does not say how sure, is followed like one of certainty
    select
        customers.number as left_number,
        aliases.number as right_number,
        coalesce(least(greatest(aliases.confidence, 0), 1), 1) as probability
    from numbered as aliases
    inner join numbered as customers
        on
            aliases.tenant_id = customers.tenant_id
            and aliases.customer_id = customers.customer_id
    where not aliases.is_customer and customers.is_customer

),

listed as (

    select unnest({{ identity_clusters('links') }}) as member

),

members as (

    select
        {{ field('member', 'number') }} as number,
        {{ field('member', 'cluster') }} as cluster_number,
        {{ field('member', 'size') }} as cluster_size,
        {{ field('member', 'probability') }} as probability
    from listed

),

-- each record against each other that it was found to be like
evidence as (

    select
        left_number as number,
        right_number as other_number,
        probability,
        match_weight,
        status
    from found
    union all
    select
        right_number as number,
        left_number as other_number,
        probability,
        match_weight,
        status
    from found

),

best as (

    select
        evidence.number,
        others.customer_id,
        max(evidence.probability) as match_probability,
        max(evidence.match_weight) as match_weight,
        max(case when evidence.status = 'conflict' then evidence.probability end) as conflict_probability
    from evidence
    inner join numbered as others on evidence.other_number = others.number
    group by evidence.number, others.customer_id

),

conflicts as (

    select
        *,
        row_number() over (partition by number order by conflict_probability desc, match_weight desc, customer_id asc)
            as place
    from best
    where conflict_probability is not null

),

alike as (

    select
        number,
        sum(case when status in ('linked', 'confirmed') then 1 else 0 end) as n_links
    from evidence
    group by number

),

placed as (

    select
        records.tenant_id,
        records.source_platform,
        records.source_id,
        records.is_customer,
        records.is_comparable,
        records.canonical_id as platform_canonical_id,
        records.customer_id,
        records.confidence as platform_confidence,
        numbered.number,
        coalesce(members.cluster_number, numbered.number) as cluster_number,
        coalesce(members.cluster_size, 1) as cluster_size,
        members.probability
    from records
    left join numbered
        on
            records.tenant_id = numbered.tenant_id
            and records.source_platform = numbered.source_platform
            and records.source_id = numbered.source_id
    left join members on numbered.number = members.number

),

graph as (

    select
        placed.*,
        case
            when not placed.is_customer and placed.platform_canonical_id is not null then placed.platform_canonical_id
            else heads.customer_id
        end as canonical_id,
        case
            when not placed.is_customer and placed.platform_canonical_id is not null then 'platform'
            when heads.customer_id is not null then 'found'
        end as link_source,
        heads.source_platform || ':' || heads.source_id as cluster_id
    from placed
    left join numbered as heads on placed.cluster_number = heads.number
    -- a customer that stands for itself is no link
    where not placed.is_customer or placed.cluster_number <> placed.number

)

select
    graph.canonical_id,
    graph.source_platform,
    graph.source_id,
    case
        when graph.link_source = 'platform' then graph.platform_confidence
        when graph.link_source = 'found' then graph.probability
    end as confidence,
    graph.tenant_id,
    graph.link_source,
    best.match_probability,
    best.match_weight,
    cast(coalesce(alike.n_links, 0) as bigint) as n_links,
    graph.cluster_id,
    cast(case when graph.number is not null then graph.cluster_size end as bigint) as cluster_size,
    conflicts.customer_id as conflicting_id,
    conflicts.conflict_probability as conflicting_probability,
    {{ identity_model() }} as identity_model,
    case
        when graph.tenant_id is null then 'no known tenant'
        when graph.link_source = 'platform' and graph.customer_id is null then 'the customer belongs to another tenant'
        when graph.link_source = 'platform' and graph.platform_confidence is null then 'the platform sent no confidence'
        when conflicts.customer_id is not null then 'the record is more like another customer'
        when graph.link_source is not null then null
        when not graph.is_comparable then 'no name, e-mail address or date of birth to compare'
        when graph.cluster_size > 1 then 'linked to records of no known customer'
        when alike.number is not null then 'the most alike record is below the threshold'
        else 'no record is alike'
    end as reason
from graph
left join best on graph.number = best.number and graph.canonical_id = best.customer_id
left join conflicts on graph.number = conflicts.number and conflicts.place = 1
left join alike on graph.number = alike.number
