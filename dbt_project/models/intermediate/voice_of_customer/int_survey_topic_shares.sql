-- One row per tenant, survey and topic: the shares that Johnson's relative weights and LMG give the topic of what
-- topics explain of the sentiment of responses. Only sums of products reach the arithmetic, by sixteenths of the
-- responses, so that its cost depends on the number of topics that go together, not on that of responses.
with responses as (

    select
        tenant_id,
        survey_id,
        sixteenth as part,
        {{ exact_score('overall_score') }} as score,
        {{ exact_score('overall_score * overall_score') }} as square
    from {{ ref('int_response_scores') }}
    where overall_score is not null

),

topics as (

    select
        tenant_id,
        survey_id,
        topic_id,
        row_number() over (partition by tenant_id, survey_id order by topic_id) as place,
        count(*) over (partition by tenant_id, survey_id) as n_topics
    from {{ ref('int_survey_topic_impacts') }}

),

touched as (

    select
        response_topics.tenant_id,
        response_topics.survey_id,
        response_topics.response_key,
        response_topics.sixteenth as part,
        {{ exact_score('response_topics.overall_score') }} as score,
        topics.place,
        topics.n_topics
    from {{ ref('int_response_topics') }} as response_topics
    inner join topics
        on
            response_topics.tenant_id is not distinct from topics.tenant_id
            and response_topics.survey_id = topics.survey_id
            and response_topics.topic_id = topics.topic_id
    where response_topics.overall_score is not null

),

sizes as (

    select
        tenant_id,
        survey_id,
        max(n_topics) as n_topics
    from topics
    group by tenant_id, survey_id

),

everyone as (

    select
        responses.tenant_id,
        responses.survey_id,
        responses.part,
        sizes.n_topics + 1 as last_place,
        cast(count(*) as decimal(38, 12)) as n,
        cast(sum(responses.score) as decimal(38, 12)) as total,
        cast(sum(responses.square) as decimal(38, 12)) as squares
    from responses
    inner join sizes
        on
            responses.tenant_id is not distinct from sizes.tenant_id
            and responses.survey_id = sizes.survey_id
    group by responses.tenant_id, responses.survey_id, responses.part, sizes.n_topics

),

-- place 0 stands for the number 1, the last place for the score
cells as (

    select
        tenant_id,
        survey_id,
        part,
        0 as row_place,
        0 as column_place,
        n as amount
    from everyone
    union all
    select
        tenant_id,
        survey_id,
        part,
        0 as row_place,
        last_place as column_place,
        total as amount
    from everyone
    union all
    select
        tenant_id,
        survey_id,
        part,
        last_place as row_place,
        last_place as column_place,
        squares as amount
    from everyone
    union all
    select
        tenant_id,
        survey_id,
        part,
        0 as row_place,
        place as column_place,
        cast(count(*) as decimal(38, 12)) as amount
    from touched
    group by tenant_id, survey_id, part, place
    union all
    select
        tenant_id,
        survey_id,
        part,
        place as row_place,
        n_topics + 1 as column_place,
        cast(sum(score) as decimal(38, 12)) as amount
    from touched
    group by tenant_id, survey_id, part, place, n_topics
    union all
    select
        one.tenant_id,
        one.survey_id,
        one.part,
        one.place as row_place,
        other.place as column_place,
        cast(count(*) as decimal(38, 12)) as amount
    from touched as one
    inner join touched as other
        on
            one.response_key = other.response_key
            and one.place <= other.place
    group by one.tenant_id, one.survey_id, one.part, one.place, other.place

),

shared as (

    select
        tenant_id,
        survey_id,
        unnest({{ topic_shares('part', 'row_place', 'column_place', 'amount') }}) as share
    from cells
    group by tenant_id, survey_id

)

select
    topics.tenant_id,
    topics.survey_id,
    topics.topic_id,
    {{ field('shared.share', 'r2') }} as r2,
    {{ field('shared.share', 'lmg') }} as lmg,
    {{ field('shared.share', 'lmg_margin') }} as lmg_margin,
    {{ field('shared.share', 'johnson') }} as johnson,
    {{ field('shared.share', 'johnson_margin') }} as johnson_margin,
    {{ field('shared.share', 'is_exact') }} as is_exact,
    {{ field('shared.share', 'is_collinear') }} as is_collinear
from topics
left join shared
    on
        topics.tenant_id is not distinct from shared.tenant_id
        and topics.survey_id = shared.survey_id
        and topics.place = {{ field('shared.share', 'place') }}
