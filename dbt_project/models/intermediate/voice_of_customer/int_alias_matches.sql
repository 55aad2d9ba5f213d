-- One row per place in a text where an alias phrase stands: all its words in order, next to each other, in one
-- sentence, on a day when the alias counts. Where matches overlap, the longest (in characters) stays. Each step is one
-- pass over the words that aliases and texts share, so that a text of a megabyte costs no more than many short ones.
with text_words as (

    select * from {{ ref('int_text_words') }}

),

alias_words as (

    select * from {{ ref('int_alias_words') }}

),

shared_words as (

    select
        text_words.entity_type,
        text_words.entity_id,
        text_words.tenant_id,
        text_words.text_day,
        text_words.sentence,
        text_words.word_number,
        text_words.start_offset,
        text_words.end_offset,
        alias_words.topic_id,
        alias_words.alias,
        alias_words.valid_from,
        alias_words.n_words,
        text_words.word_number - alias_words.word_number + 1 as first_word
    from text_words
    inner join alias_words
        on
            text_words.word = alias_words.word
            and text_words.text_day >= alias_words.valid_from
            and text_words.text_day < alias_words.valid_to

),

spans as (

    select
        *,
        count(*) over phrase as words_found,
        max(end_offset) over phrase - min(start_offset) over phrase as match_length
    from shared_words
    window phrase as (partition by entity_type, entity_id, sentence, topic_id, alias, valid_from, first_word)

),

contested as (

    select
        *,
        max(match_length) over (partition by entity_type, entity_id, word_number) as longest_here
    from spans
    where words_found = n_words

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
    min(start_offset) as start_offset,
    max(end_offset) as end_offset
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
    first_word
-- no word of it belongs to a longer match
having min(case when match_length = longest_here then 1 else 0 end) = 1
