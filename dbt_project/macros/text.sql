{#-
    Words of texts. What belongs here: how a text falls into words, and when two words are the same. What does not:
    which words mean what (topic_aliases).
-#}

{#- Two words are the same if their folded forms are equal: no case, no accents. -#}
{% macro folded(expression) -%}
    {{ return(adapter.dispatch('folded', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__folded(expression) -%}
    strip_accents(lower({{ expression }}))
{%- endmacro %}

{#-
    A query that cuts texts into runs, alternately words (letters, marks, digits, _) and what stands between them. Runs
    cover the text, so the lengths before a run give its place. Arguments: a relation or CTE, the columns to keep, the
    text column. Columns: those kept, run_number (from 1), run, is_word, ends_sentence.
-#}
{% macro text_runs(relation, keep, text) -%}
    {{ return(adapter.dispatch('text_runs', 'loompin')(relation, keep, text)) }}
{%- endmacro %}

{% macro default__text_runs(relation, keep, text) -%}
    {%- set letters = '\\p{L}\\p{M}\\p{N}_' -%}
    select
        {{ keep | join(', ') }},
        run_number,
        run,
        regexp_matches(run, '^[{{ letters }}]') as is_word,
        regexp_matches(run, '[.!?;:\n።፧؟]') as ends_sentence
    from (
        select
            {{ keep | join(', ') }},
            unnest(runs) as run,
            generate_subscripts(runs, 1) as run_number
        from (
            select
                {{ keep | join(', ') }},
                regexp_extract_all({{ text }}, '[{{ letters }}]+|[^{{ letters }}]+') as runs
            from {{ relation }}
            where {{ text }} <> ''
        ) as cut
    ) as listed
{%- endmacro %}
