-- One row per place in a text where an alias phrase stands: all its words in order, next to each other, in one
-- sentence, on a day when the alias counts. Where matches overlap, the longest (in characters) stays. Each step is one
-- pass over the words that aliases and texts share, so that a text of a megabyte costs no more than many short ones.
with text_words as (

    select * from {{ ref('int_distinct_text_words') }}
    where text_cut = {{ text_cut() }}

),

alias_words as (

    select * from {{ ref('int_alias_words') }}

),

texts as (

    select * from {{ ref('int_texts') }}

),

phrases as (

    select
        text_words.text_key,
        alias_words.topic_id,
        alias_words.alias,
        alias_words.valid_from,
        alias_words.valid_to,
        alias_words.n_words,
        text_words.word_number - alias_words.word_number + 1 as first_word,
        min(text_words.start_offset) as start_offset,
        max(text_words.end_offset) as end_offset
    from text_words
    inner join alias_words
        on
            text_words.word = alias_words.word
            and (alias_words.word_number = 1 or not text_words.begins_sentence)
    group by
        text_words.text_key,
        alias_words.topic_id,
        alias_words.alias,
        alias_words.valid_from,
        alias_words.valid_to,
        alias_words.n_words,
        text_words.word_number - alias_words.word_number + 1
    having count(*) = alias_words.n_words

),

-- once a word: which of the phrases that it is part of is the longest
contested as (

    select
        texts.entity_type,
        texts.entity_id,
        texts.tenant_id,
        texts.text_day,
        phrases.topic_id,
        phrases.alias,
        phrases.valid_from,
        phrases.n_words,
        phrases.first_word,
        phrases.start_offset,
        phrases.end_offset,
        max(phrases.end_offset - phrases.start_offset) over (
            partition by texts.entity_type, texts.entity_id, phrases.first_word + alias_words.word_number
        ) as longest_here
    from texts
    inner join phrases
        on
            texts.text_key = phrases.text_key
            and texts.text_day >= phrases.valid_from
            and texts.text_day < phrases.valid_to
    inner join alias_words
        on
            phrases.topic_id = alias_words.topic_id
            and phrases.alias = alias_words.alias
            and phrases.valid_from = alias_words.valid_from

)

select
    entity_type,
    entity_id,
    tenant_id,
    text_day,
    topic_id,
    alias,
    valid_from,
    n_words,
    first_word,
    first_word + n_words - 1 as last_word,
    start_offset,
    end_offset
from contested
group by
    entity_type,
    entity_id,
    tenant_id,
    text_day,
    topic_id,
    alias,
    valid_from,
    n_words,
    first_word,
    start_offset,
    end_offset
-- no word of it belongs to a longer match
having max(longest_here) = end_offset - start_offset
