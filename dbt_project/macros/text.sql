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

{#- What tells texts apart, in few bytes: equal for equal texts alone, as far as 128 bits can tell. -#}
{% macro text_key(expression) -%}
    {{ return(adapter.dispatch('text_key', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__text_key(expression) -%}
    md5_number({{ expression }})
{%- endmacro %}

{#-
    A query that cuts texts into words (runs of letters, marks, digits and _). The brackets that redaction puts in place of
    personal data are no words of the customer; they belong to what stands between words. Arguments: a relation or CTE, the
    columns to keep (which tell the texts apart), the text column. Columns: those kept, word_number (from 1), word (folded),
    begins_sentence (whether a sentence ends between it and the word before), start_offset (characters before it),
    end_offset (that after it); and of the word that follows, NULL after the last: next_word, next_begins_sentence,
    next_end_offset.
-#}
{% macro text_words(relation, keep, text) -%}
    {{ return(adapter.dispatch('text_words', 'loompin')(relation, keep, text)) }}
{%- endmacro %}

{% macro default__text_words(relation, keep, text) -%}
    {%- set letters = '\\p{L}\\p{M}\\p{N}_' -%}
    {%- set between = '(?:\\[(?:email|phone|ip|handle|name)\\]|[^' ~ letters ~ '])+' -%}
    select
        *,
        lead(word) over followed as next_word,
        lead(begins_sentence) over followed as next_begins_sentence,
        lead(end_offset) over followed as next_end_offset
    from (
        select
            {{ keep | join(', ') }},
            word_number,
            {{ folded('run') }} as word,
            regexp_matches(gap, '[.!?;:\n።፧؟]') as begins_sentence,
            end_offset - length(run) as start_offset,
            end_offset
        from (
            select
                *,
                cast(sum(length(gap) + length(run)) over (
                    partition by {{ keep | join(', ') }} order by word_number
                    rows between unbounded preceding and current row
                ) as bigint) as end_offset
            from (
                select
                    {{ keep | join(', ') }},
                    unnest(words) as run,
                    -- what stands before each word: the last gap may be after all of them
                    unnest(list_slice(gaps, 1, len(words))) as gap,
                    generate_subscripts(words, 1) as word_number
                from (
                    -- runs of both kinds take turns
                    select
                        {{ keep | join(', ') }},
                        case when begins then list_slice(runs, 1, -1, 2) else list_slice(runs, 2, -1, 2) end as words,
                        case
                            when begins then list_prepend('', list_slice(runs, 2, -1, 2))
                            else list_slice(runs, 1, -1, 2)
                        end as gaps
                    from (
                        select
                            {{ keep | join(', ') }},
                            regexp_matches({{ text }}, '^[{{ letters }}]') as begins,
                            regexp_extract_all({{ text }}, '[{{ letters }}]+|{{ between }}') as runs
                        from {{ relation }}
                        where {{ text }} <> ''
                    ) as cut
                ) as told_apart
            ) as listed
        ) as placed
    ) as words
    window followed as (partition by {{ keep | join(', ') }} order by word_number)
{%- endmacro %}

{#- The name of this way to cut texts: part of what is kept with the words, so that another way cuts every text anew. -#}
{% macro text_cut() -%}
    '{{ local_md5(text_words('texts', ['text_key'], 'body') ~ text_key('body')) }}'
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
    {{ single_spaced(
        "regexp_replace(" ~ expression ~ ", '\\[(email|phone|ip|handle|name)\\]|(https?://|www\\.)\\S+|@\\w+', ' ', 'g')"
    ) }}
{%- endmacro %}

{#-
    A text without the names of a tenant where they stand as whole words; as it is where the names are null. Arguments: the
    text, and the names, one a line. By `loompin.brands`: a pattern of each tenant's own would be compiled for each text.
-#}
{% macro without_names(expression, names) -%}
    {{ return(adapter.dispatch('without_names', 'loompin')(expression, names)) }}
{%- endmacro %}

{% macro default__without_names(expression, names) -%}
    without_names({{ expression }}, {{ names }})
{%- endmacro %}

{#- The same text with one space wherever white space stands. -#}
{% macro single_spaced(expression) -%}
    {{ return(adapter.dispatch('single_spaced', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__single_spaced(expression) -%}
    regexp_replace({{ expression }}, '\s+', ' ', 'g')
{%- endmacro %}
