-- One row per text and model: equal texts are scored once, and a text that an earlier night scored is not scored again,
-- as a score depends on nothing but the text and the model.
{{ config(materialized='incremental') }}

with new_texts as (

    select distinct scored_text from {{ ref('int_sentiment_texts') }}
    where scored_text <> ''
    {%- if is_incremental() %}
    except
    select scored_text from {{ this }}
    where text_model = {{ text_model() }}
    {%- endif %}

),

texts as (

    select
        scored_text,
        row_number() over () as text_number
    from new_texts

),

weights as (

    select
        coalesce(term, '') as term,
        joy,
        anger,
        fear
    from {{ ref('emotion_weights') }}

),

terms as (

    {{ emotion_terms('texts', 'text_number', 'scored_text') | indent(4) }}

),

evidence as (

    select
        terms.text_number,
        sum(weights.joy) as joy,
        sum(weights.anger) as anger,
        sum(weights.fear) as fear,
        -- signs alone are no words
        sum(case when weights.term in ('!', '?', '! !', '! ?', '? !', '? ?') then 0 else 1 end) as n_known_terms
    from terms
    inner join weights on terms.term = weights.term
    group by terms.text_number

),

intercepts as (

    select
        joy,
        anger,
        fear
    from weights
    where term = ''

)

select
    texts.scored_text,
    {{ text_model() }} as text_model,
    cast(coalesce(evidence.n_known_terms, 0) as bigint) as n_known_terms,
    -- a text of known words, none of them in the lexicon, is neutral; of one without known words nothing can be said
    coalesce({{ vader_compound('texts.scored_text') }}, case when evidence.n_known_terms > 0 then 0.0 end)
        as overall_score,
    case
        when evidence.n_known_terms > 0 then {{ logistic('evidence.joy + intercepts.joy') }}
    end as joy,
    case
        when evidence.n_known_terms > 0 then {{ logistic('evidence.anger + intercepts.anger') }}
    end as anger,
    case
        when evidence.n_known_terms > 0 then {{ logistic('evidence.fear + intercepts.fear') }}
    end as fear
from texts
left join evidence on texts.text_number = evidence.text_number
cross join intercepts
