{#-
    Words of texts. What belongs here: how a text falls into words, when two words are the same, and what is no part of
    what a customer says. What does not:
    which words mean what (topic_aliases, emotion_weights).
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

{#-
    The tokens of a text for the emotion model, an array in order: words with their apostrophes, emojis, ! and ?, without
    case and accents. tools/train_emotions.py reads the body of this macro, so that training cuts texts the same way.
-#}
{% macro emotion_tokens(expression) -%}
    {{ return(adapter.dispatch('emotion_tokens', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__emotion_tokens(expression) -%}
    regexp_extract_all(
        strip_accents(lower(replace({{ expression }}, '’', ''''))),
        '[\p{L}\p{M}\p{N}_]+(?:''[\p{L}]+)*|\p{So}|[!?]'
    )
{%- endmacro %}

{#-
    A query with the distinct terms of texts for the emotion model: tokens, and pairs of neighbouring tokens with a space
    between. Arguments: a relation or CTE, the column that tells texts apart (a number), the text column. Columns: the key,
    term.
-#}
{% macro emotion_terms(relation, key, text) -%}
    {{ return(adapter.dispatch('emotion_terms', 'loompin')(relation, key, text)) }}
{%- endmacro %}

{% macro default__emotion_terms(relation, key, text) -%}
    select distinct {{ key }}, term
    from (
        select
            {{ key }},
            unnest([token, token || ' ' || lead(token) over (partition by {{ key }} order by place)]) as term
        from (
            select {{ key }}, unnest(tokens) as token, generate_subscripts(tokens, 1) as place
            from (select {{ key }}, {{ emotion_tokens(text) }} as tokens from {{ relation }}) as cut
        ) as listed
    ) as terms_and_pairs
    where term is not null
{%- endmacro %}

{#- VADER's compound score of a text, from -1 to 1; null if no word of it is in the lexicon. By `loompin.sentiment`. -#}
{% macro vader_compound(expression) -%}
    {{ return(adapter.dispatch('vader_compound', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__vader_compound(expression) -%}
    vader_compound({{ expression }})
{%- endmacro %}

{#- Which models score texts: part of what is kept with a score, so that a new model scores every text anew. -#}
{% macro text_model() -%}
    'vader 3.3.2, goemotions 1'
{%- endmacro %}

{#- A text without marks of redaction, links, handles and white space in a row: what a customer says, not whom it names. -#}
{% macro without_pointers(expression) -%}
    {{ return(adapter.dispatch('without_pointers', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__without_pointers(expression) -%}
    regexp_replace(
        regexp_replace({{ expression }}, '\[(email|phone|ip|handle|name)\]|(https?://|www\.)\S+|@\w+', ' ', 'g'),
        '\s+', ' ', 'g'
    )
{%- endmacro %}

{#- A text without the words that a pattern matches as whole words; as it is where the pattern is null. -#}
{% macro without_words(expression, pattern) -%}
    {{ return(adapter.dispatch('without_words', 'loompin')(expression, pattern)) }}
{%- endmacro %}

{% macro default__without_words(expression, pattern) -%}
    {%- set letters = '\\p{L}\\p{M}\\p{N}_' -%}
    {%- set whole = "'(^|[^" ~ letters ~ "])(?:' || " ~ pattern ~ " || ')($|[^" ~ letters ~ "])'" -%}
    {#- Twice: a match takes the space behind it, which the next of two neighbours needs before it. -#}
    case
        when {{ pattern }} is null then {{ expression }}
        else regexp_replace(regexp_replace({{ expression }}, {{ whole }}, '\1 \2', 'g'), {{ whole }}, '\1 \2', 'g')
    end
{%- endmacro %}

{#-
    A pattern for a name, taken literally: of two words and more in any case; a single word only as it is written, because
    in any case it would take ordinary words with it.
-#}
{% macro name_pattern(expression) -%}
    {{ return(adapter.dispatch('name_pattern', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__name_pattern(expression) -%}
    case
        when {{ expression }} like '% %' then '(?i:' || regexp_escape({{ expression }}) || ')'
        else regexp_escape({{ expression }})
    end
{%- endmacro %}
