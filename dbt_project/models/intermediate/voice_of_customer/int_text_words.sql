-- One row per word of a text: folded, numbered from 1, with the sentence it stands in and its place in the redacted
-- text (start_offset counts characters before it, end_offset is that after it).
with runs as (

    {{ text_runs(ref('int_texts'), ['entity_type', 'entity_id', 'tenant_id', 'text_day'], 'body') | indent(4) }}

),

placed as (

    select
        *,
        coalesce(sum(length(run)) over before_it, 0) as start_offset,
        coalesce(sum(case when ends_sentence then 1 else 0 end) over before_it, 0) as sentence,
        lag(run, 1, '') over in_text as run_before,
        lead(run, 1, '') over in_text as run_after
    from runs
    window
        in_text as (partition by entity_type, entity_id order by run_number),
        before_it as (
            partition by entity_type, entity_id order by run_number
            rows between unbounded preceding and 1 preceding
        )

),

words as (

    select *
    from placed
    where
        is_word
        -- the brackets that redaction puts in place of personal data are no words of the customer
        and not (
            run in ('email', 'phone', 'ip', 'handle', 'name')
            and right(run_before, 1) = '['
            and left(run_after, 1) = ']'
        )

)

select
    entity_type,
    entity_id,
    tenant_id,
    text_day,
    cast(sentence as bigint) as sentence,
    row_number() over (partition by entity_type, entity_id order by run_number) as word_number,
    {{ folded('run') }} as word,
    cast(start_offset as bigint) as start_offset,
    cast(start_offset + length(run) as bigint) as end_offset
from words
