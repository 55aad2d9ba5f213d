-- One row per word of an alias phrase: folded, numbered from 1. A phrase without a letter or digit has no row, so that
-- it matches nothing.
with runs as (

    {{ text_runs(ref('stg_topic_aliases'), ['topic_id', 'alias', 'valid_from', 'valid_to'], 'alias') | indent(4) }}

)

select
    topic_id,
    alias,
    valid_from,
    valid_to,
    row_number() over (partition by topic_id, alias, valid_from order by run_number) as word_number,
    count(*) over (partition by topic_id, alias, valid_from) as n_words,
    {{ folded('run') }} as word
from runs
where is_word
