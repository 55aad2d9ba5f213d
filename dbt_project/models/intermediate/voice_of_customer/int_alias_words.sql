-- One row per word of an alias phrase: folded, numbered from 1. A phrase without a letter or digit has no row, so that
-- it matches nothing.
with words as (

    {{ text_words(ref('stg_topic_aliases'), ['topic_id', 'alias', 'valid_from', 'valid_to'], 'alias') | indent(4) }}

)

select
    topic_id,
    alias,
    valid_from,
    valid_to,
    word_number,
    count(*) over (partition by topic_id, alias, valid_from) as n_words,
    word,
    next_word
from words
