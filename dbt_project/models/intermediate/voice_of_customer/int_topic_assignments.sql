-- One row per topic and text: the topics that a person assigned by hand, else those whose aliases stand in the text.
-- Why the odds: score = c w / (c w + 1 - c), the confidence c with its odds multiplied by the topic's weight w, stays
-- between 0 and 1 for any weight. docs/methods.md has a worked example.
with manual as (

    select * from {{ ref('stg_topic_overrides') }}

),

aliases as (

    select * from {{ ref('stg_topic_aliases') }}

),

matches as (

    select
        matches.*,
        aliases.known_night
    from {{ ref('int_alias_matches') }} as matches
    inner join aliases
        on
            matches.topic_id = aliases.topic_id
            and matches.alias = aliases.alias
            and matches.valid_from = aliases.valid_from

),

texts as (

    select * from {{ ref('int_texts') }}

),

topics as (

    select * from {{ ref('stg_taxonomy_topics') }}

),

best_matches as (

    select
        *,
        -- the chance that all of them mislead, each by 1 / (words + 1)
        exp(sum(-ln(n_words + 1)) over (partition by entity_type, entity_id, topic_id)) as doubt,
        count(*) over (partition by entity_type, entity_id, topic_id) as n_matches,
        min(known_night) over (partition by entity_type, entity_id, topic_id) as first_known_night,
        row_number() over (
            partition by entity_type, entity_id, topic_id order by n_words desc, start_offset asc, alias asc
        ) as place
    from matches

),

by_alias as (

    select
        best_matches.topic_id,
        best_matches.entity_id,
        round(
            (1 - best_matches.doubt) * coalesce(topics.weight, 1)
            / ((1 - best_matches.doubt) * coalesce(topics.weight, 1) + best_matches.doubt),
            12
        ) as score,
        best_matches.text_day as assigned_at,
        best_matches.tenant_id,
        best_matches.entity_type,
        'alias' as assigned_by,
        best_matches.n_matches,
        best_matches.alias as matched_alias,
        nullif(best_matches.valid_from, cast('0001-01-01' as date)) as alias_valid_from,
        best_matches.start_offset as match_start,
        best_matches.end_offset as match_end,
        best_matches.first_known_night as known_night
    from best_matches
    left join topics on best_matches.topic_id = topics.topic_id
    where best_matches.place = 1

),

entities as (

    -- ids are the platform's and of different kinds; should two kinds share one, a manual assignment means the event
    select
        entity_id,
        min(entity_type) as entity_type,
        min(tenant_id) as tenant_id
    from texts
    group by entity_id

),

by_hand as (

    select
        manual.topic_id,
        manual.entity_id,
        manual.score,
        coalesce(manual.assigned_at, manual.known_night) as assigned_at,
        entities.tenant_id,
        coalesce(entities.entity_type, 'other') as entity_type,
        'manual' as assigned_by,
        cast(null as bigint) as n_matches,
        cast(null as {{ dbt.type_string() }}) as matched_alias,
        cast(null as date) as alias_valid_from,
        cast(null as bigint) as match_start,
        cast(null as bigint) as match_end,
        manual.known_night
    from manual
    left join entities on manual.entity_id = entities.entity_id

)

select * from by_hand

union all

-- who assigned topics to a text by hand has read it: what the aliases say about that text gives way
select by_alias.*
from by_alias
where by_alias.entity_id not in (select by_hand.entity_id from by_hand)
