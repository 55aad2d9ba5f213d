-- One row per place in a text where an alias phrase stands: all its words in order, next to each other, in one
-- sentence, on a day when the alias counts. Where matches overlap, the longest (in characters) stays. A phrase is
-- looked for by its first two words in one: a word that many aliases share leads to few places where two of them follow
-- each other. Each step is one pass over such places, so that a text of a megabyte costs no more than many short ones.
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

-- A phrase of one word begins where the word stands, a longer one where its first two follow each other.
beginnings as (

    select
        text_words.text_key,
        alias_words.topic_id,
        alias_words.alias,
        alias_words.valid_from,
        alias_words.valid_to,
        alias_words.n_words,
        text_words.word_number as first_word,
        text_words.start_offset,
        text_words.end_offset
    from text_words
    inner join alias_words
        on
            text_words.word = alias_words.word
            and alias_words.n_words = 1

    union all

    select
        text_words.text_key,
        alias_words.topic_id,
        alias_words.alias,
        alias_words.valid_from,
        alias_words.valid_to,
        alias_words.n_words,
        text_words.word_number as first_word,
        text_words.start_offset,
        text_words.next_end_offset as end_offset
    from text_words
    inner join alias_words
        on
            text_words.word = alias_words.word
            and text_words.next_word = alias_words.next_word
            and alias_words.word_number = 1

),

-- The words from the third on stand in the same sentence, each where it should.
continued as (

    select
        beginnings.text_key,
        beginnings.topic_id,
        beginnings.alias,
        beginnings.valid_from,
        beginnings.first_word,
        max(text_words.end_offset) as end_offset
    from beginnings
    inner join alias_words
        on
            beginnings.topic_id = alias_words.topic_id
            and beginnings.alias = alias_words.alias
            and beginnings.valid_from = alias_words.valid_from
            and alias_words.word_number > 2
    inner join text_words
        on
            beginnings.text_key = text_words.text_key
            and beginnings.first_word + alias_words.word_number - 1 = text_words.word_number
            and alias_words.word = text_words.word
            and not text_words.begins_sentence
    group by
        beginnings.text_key,
        beginnings.topic_id,
        beginnings.alias,
        beginnings.valid_from,
        beginnings.first_word,
        beginnings.n_words
    having count(*) = beginnings.n_words - 2

),

phrases as (

    select
        beginnings.text_key,
        beginnings.topic_id,
        beginnings.alias,
        beginnings.valid_from,
        beginnings.valid_to,
        beginnings.n_words,
        beginnings.first_word,
        beginnings.start_offset,
        coalesce(continued.end_offset, beginnings.end_offset) as end_offset
    from beginnings
    left join continued
        on
            beginnings.text_key = continued.text_key
            and beginnings.topic_id = continued.topic_id
            and beginnings.alias = continued.alias
            and beginnings.valid_from = continued.valid_from
            and beginnings.first_word = continued.first_word
    where
        beginnings.n_words <= 2
        or continued.end_offset is not null

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
