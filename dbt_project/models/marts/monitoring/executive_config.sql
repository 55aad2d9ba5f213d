with

categories as (

    select * from {{ ref('executive_categories') }}

),

measures as (

    select * from {{ ref('executive_measures') }}

),

-- Measures without a figure leave their weight to the others; the change is that of the measures that have a period
-- before.
scores as (

    select
        category,
        sum(score * weight) / nullif(sum(case when score is not null then weight end), 0) as score,
        sum(case when previous_score is not null then (score - previous_score) * weight end)
        / nullif(sum(case when score is not null and previous_score is not null then weight end), 0) as change,
        count(score) as measures_used
    from measures
    group by category

),

records as (

    select
        category,
        measure,
        min(value) as lowest_before,
        max(value) as highest_before
    from {{ ref('stg_kpi_readings') }}
    where periods_back > 1
    group by category, measure

),

headlines as (

    select
        measures.category,
        measures.measure,
        measures.value,
        case
            when measures.previous_value is null or measures.value = measures.previous_value then 'steady'
            when (measures.value > measures.previous_value) = (measures.best > measures.worst) then 'better'
            else 'worse'
        end as direction,
        case
            when measures.best > measures.worst then measures.value > records.highest_before
            else measures.value < records.lowest_before
        end as is_best_yet,
        100 * abs(measures.value - measures.previous_value) / nullif(abs(measures.previous_value), 0) as change_pct
    from measures
    left join records
        on
            measures.category = records.category
            and measures.measure = records.measure

),

sentences as (

    select
        categories.category,
        categories.title,
        case
            when headlines.is_best_yet then coalesce(categories.when_best_yet, categories.when_better)
            when headlines.direction = 'better' then categories.when_better
            when headlines.direction = 'worse' then categories.when_worse
            when headlines.value is not null then categories.when_steady
        end as template,
        -- One decimal, and none that is 0 anyway.
        replace(cast(cast(headlines.value as decimal(18, 1)) as {{ dbt.type_string() }}), '.0', '') as value_text,
        cast(cast(round(headlines.change_pct) as bigint) as {{ dbt.type_string() }}) as change_text
    from categories
    left join headlines
        on
            categories.category = headlines.category
            and categories.headline_measure = headlines.measure

)

select
    sentences.category,
    sentences.title,
    cast(round(scores.score) as bigint) as score,
    case
        when scores.change >= 1 then 'up'
        when scores.change <= -1 then 'down'
        else 'stable'
    end as trend,
    coalesce(
        replace(
            replace(sentences.template, '{value}', coalesce(sentences.value_text, '')),
            '{change}',
            coalesce(sentences.change_text, '')
        ),
        'No figures yet'
    ) as narrative,
    scores.change as score_change,
    coalesce(scores.measures_used, 0) as measures_used
from sentences
left join scores on sentences.category = scores.category
