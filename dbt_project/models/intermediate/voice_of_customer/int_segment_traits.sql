-- One row per segment and topic that at least five texts of its members are about: how many times as often as expected
-- the members speak of it. What is expected is how often everyone does, tenant by tenant, so that no tenant is measured
-- by another's customers.
with texts as (

    select
        entity_type,
        entity_id,
        tenant_id
    from {{ ref('int_texts') }}
    where entity_type <> 'former_response'

),

assignments as (

    select distinct
        entity_type,
        entity_id,
        topic_id
    from {{ ref('int_topic_assignments') }}

),

member_texts as (

    select
        members.segment_id,
        texts.entity_type,
        texts.entity_id,
        texts.tenant_id
    from {{ ref('int_member_sentiment') }} as members
    inner join texts
        on
            members.entity_type = texts.entity_type
            and members.entity_id = texts.entity_id

),

everyone as (

    select
        tenant_id,
        count(*) as n_texts
    from texts
    group by tenant_id

),

everyone_on_topics as (

    select
        texts.tenant_id,
        assignments.topic_id,
        count(*) as n_texts
    from texts
    inner join assignments
        on
            texts.entity_type = assignments.entity_type
            and texts.entity_id = assignments.entity_id
    group by texts.tenant_id, assignments.topic_id

),

segment_sizes as (

    select
        segment_id,
        tenant_id,
        count(*) as n_texts
    from member_texts
    group by segment_id, tenant_id

),

expected as (

    select
        segment_sizes.segment_id,
        everyone_on_topics.topic_id,
        sum(
            cast(
                cast(segment_sizes.n_texts as double precision) * everyone_on_topics.n_texts / everyone.n_texts
                as decimal(38, 12)
            )
        ) as n_texts
    from segment_sizes
    inner join everyone on segment_sizes.tenant_id is not distinct from everyone.tenant_id
    inner join everyone_on_topics on everyone.tenant_id is not distinct from everyone_on_topics.tenant_id
    group by segment_sizes.segment_id, everyone_on_topics.topic_id

),

observed as (

    select
        member_texts.segment_id,
        assignments.topic_id,
        count(*) as n_texts
    from member_texts
    inner join assignments
        on
            member_texts.entity_type = assignments.entity_type
            and member_texts.entity_id = assignments.entity_id
    group by member_texts.segment_id, assignments.topic_id
    having count(*) >= 5

),

lifts as (

    select
        observed.segment_id,
        observed.topic_id,
        observed.n_texts,
        round(observed.n_texts / cast(expected.n_texts as double precision), 9) as lift,
        exp({{ z95() }} / sqrt(observed.n_texts)) as spread
    from observed
    inner join expected
        on
            observed.segment_id = expected.segment_id
            and observed.topic_id = expected.topic_id

)

select
    segment_id,
    topic_id,
    n_texts,
    lift,
    lift / spread as lift_low,
    lift * spread as lift_high,
    row_number() over (partition by segment_id order by lift desc, n_texts desc, topic_id asc) as place
from lifts
