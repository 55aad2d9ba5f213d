-- One row per word of a text, folded, with its place in the redacted text. Equal texts are cut once, and a text that an
-- earlier night cut is not cut again: its words depend on nothing but the text and the way it is cut.
{{ config(materialized='incremental', on_schema_change='append_new_columns') }}

with new_texts as (

    select
        text_key,
        min(body) as body
    from {{ ref('int_texts') }}
    {%- if is_incremental() %}
    where text_key not in (
        select text_key from {{ this }}
        where word_number = 1 and text_cut = {{ text_cut() }}
    )
    {%- endif %}
    group by text_key

),

words as (

    {{ text_words('new_texts', ['text_key'], 'body') | indent(4) }}

)

select
    text_key,
    {{ text_cut() }} as text_cut,
    word_number,
    word,
    begins_sentence,
    start_offset,
    end_offset,
    -- The word that follows in the same sentence: what aliases of several words are looked for by.
    case when not next_begins_sentence then next_word end as next_word,
    case when not next_begins_sentence then next_end_offset end as next_end_offset
from words
