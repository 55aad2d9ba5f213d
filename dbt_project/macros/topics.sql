{#-
    Steps of the topic models that surveys (sentiment) and tenants (CSAT) share. What belongs here: the shape of such a
    step. What does not: formulas (statistics.sql) and what a table means (the models).
-#}

{#-
    A query with one row a group, topic and week (Monday to Sunday, UTC) in which the group has scored responses: the
    topic's leave-one-out impact in that week. A week in which nobody touched the topic counts: its impact is 0 then. A week
    in which every response touched it has no impact to speak of (null). Arguments: the columns that make a group, and the
    column of the score.
-#}
{% macro topic_weeks(keys, score) -%}
with responses as (

    select
        {{ keys | join(', ') }},
        week_start,
        count(*) as n_responses,
        sum({{ exact_score(score) }}) as sum_score
    from {{ ref('int_response_scores') }}
    where {{ score }} is not null
    group by {{ keys | join(', ') }}, week_start

),

response_topics as (

    select * from {{ ref('int_response_topics') }}
    where {{ score }} is not null

),

group_topics as (

    select distinct
        {{ keys | join(', ') }},
        topic_id
    from response_topics

),

touched as (

    select
        {{ keys | join(', ') }},
        topic_id,
        week_start,
        count(*) as n_topic,
        sum({{ exact_score(score) }}) as sum_topic
    from response_topics
    group by {{ keys | join(', ') }}, topic_id, week_start

)

select
    {% for key in keys -%}
    responses.{{ key }},
    {% endfor -%}
    group_topics.topic_id,
    responses.week_start,
    {{ dbt.datediff("cast('1970-01-05' as date)", 'responses.week_start', 'week') }} as week_number,
    responses.n_responses,
    coalesce(touched.n_topic, 0) as n_topic,
    {{ leave_one_out_impact(
        'responses.n_responses', 'responses.sum_score', 'coalesce(touched.n_topic, 0)', 'coalesce(touched.sum_topic, 0)'
    ) }} as impact
from responses
inner join group_topics
    on {% for key in keys -%}
    responses.{{ key }} is not distinct from group_topics.{{ key }}{{ ' and ' if not loop.last }}
    {%- endfor %}
left join touched
    on {% for key in keys -%}
    responses.{{ key }} is not distinct from touched.{{ key }} and {% endfor -%}
    group_topics.topic_id = touched.topic_id
    and responses.week_start = touched.week_start
{%- endmacro %}

{#-
    Johnson's relative weights and LMG shares of the topics of each group, with the half-widths of their intervals: an
    array of one struct a topic, as an aggregate over the cells of the group's matrices of sums of products. Computed by
    `loompin.importance.topic_shares`, which says what the arguments are.
-#}
{% macro topic_shares(part, row, column, value) -%}
    {{ return(adapter.dispatch('topic_shares', 'loompin')(part, row, column, value)) }}
{%- endmacro %}

{% macro default__topic_shares(part, row, column, value) -%}
    topic_shares(
        array_agg(cast({{ part }} as bigint)), array_agg(cast({{ row }} as bigint)),
        array_agg(cast({{ column }} as bigint)), array_agg(cast({{ value }} as double precision))
    )
{%- endmacro %}

{#- The probability that belongs to log odds (an exact sum), to four decimals: more is not known of any text. -#}
{% macro logistic(log_odds) -%}
    round(1 / (1 + exp(-cast({{ log_odds }} as double precision))), 4)
{%- endmacro %}

{#- A field of a struct. -#}
{% macro field(struct, name) -%}
    {{ return(adapter.dispatch('field', 'loompin')(struct, name)) }}
{%- endmacro %}

{% macro default__field(struct, name) -%}
    struct_extract({{ struct }}, '{{ name }}')
{%- endmacro %}

{#- A number from 0 to 15 that depends on an id alone, so that it is the same for the same id in every night. -#}
{% macro sixteenth(id) -%}
    {{ dbt.position('substring(' ~ dbt.hash(id) ~ ', 1, 1)', "'0123456789abcdef'") }} - 1
{%- endmacro %}
