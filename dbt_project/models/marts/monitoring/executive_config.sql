with

measures as (

    select * from {{ ref('executive_measures') }}

),

subjects as (

    select distinct
        categories.category,
        categories.title,
        categories.headline_measure,
        measures.tenant_id,
        measures.scope
    from {{ ref('executive_categories') }} as categories
    inner join measures on categories.category = measures.category

),

-- Measures without a figure leave their weight to the others; the change is that of the measures that have a period
-- before. Decimals: their sums do not depend on the order of rows.
weighed as (

    select
        tenant_id,
        category,
        cast(score as decimal(18, 9)) as score,
        cast(previous_score as decimal(18, 9)) as previous_score,
        cast(weight as decimal(19, 6)) as weight
    from measures

),

scores as (

    select
        tenant_id,
        category,
        {{ mean_of('sum(score * weight)', 'sum(case when score is not null then weight end)') }} as score,
        {{ mean_of(
            'sum(case when previous_score is not null then (score - previous_score) * weight end)',
            'sum(case when score is not null and previous_score is not null then weight end)'
        ) }} as change,
        count(score) as measures_used,
        count(*) as measures_known,
        cast(
            coalesce(sum(case when score is not null then weight end), 0) / nullif(sum(weight), 0) as double precision
        ) as weight_used
    from weighed
    group by tenant_id, category

),

history as (

    select * from {{ ref('int_executive_scores') }}

),

trends as (

    {{ mann_kendall('history', ['tenant_id', 'category'], 'period_start', 'score') | indent(4) }}

),

records as (

    select
        tenant_id,
        category,
        measure,
        min(value) as lowest_before,
        max(value) as highest_before
    from {{ ref('int_executive_readings') }}
    where periods_back > 1
    group by tenant_id, category, measure

),

-- The category's headline; where it has no figure, the weightiest measure that has one speaks for it.
ranked as (

    select
        measures.*,
        measures.measure = subjects.headline_measure as is_headline,
        row_number() over (
            partition by measures.tenant_id, measures.category
            order by
                case when measures.measure = subjects.headline_measure then 0 else 1 end asc,
                measures.weight desc,
                measures.measure asc
        ) as place
    from measures
    inner join subjects
        on
            measures.category = subjects.category
            and measures.tenant_id is not distinct from subjects.tenant_id
    where measures.score is not null

),

headlines as (

    select
        ranked.tenant_id,
        ranked.category,
        ranked.measure,
        ranked.value,
        ranked.is_headline,
        case
            when ranked.previous_value is null or ranked.value = ranked.previous_value then 'steady'
            when (ranked.value > ranked.previous_value) = (ranked.best > ranked.worst) then 'better'
            else 'worse'
        end as direction,
        case
            when ranked.best > ranked.worst then ranked.value > records.highest_before
            else ranked.value < records.lowest_before
        end as is_best_yet,
        100 * abs(ranked.value - ranked.previous_value) / nullif(abs(ranked.previous_value), 0) as change_pct
    from ranked
    left join records
        on
            ranked.tenant_id is not distinct from records.tenant_id
            and ranked.category = records.category
            and ranked.measure = records.measure
    where ranked.place = 1

),

sentences as (

    select
        subjects.tenant_id,
        subjects.category,
        case
            when headlines.value is null then categories.when_nothing
            when not headlines.is_headline then categories.when_other
            when headlines.is_best_yet then coalesce(categories.when_best_yet, categories.when_better)
            when headlines.direction = 'better' then categories.when_better
            when headlines.direction = 'worse' then categories.when_worse
            else categories.when_steady
        end as template,
        replace(headlines.measure, '_', ' ') as measure_text,
        {{ plain_number('headlines.value') }} as value_text,
        {{ plain_number('round(headlines.change_pct)') }} as change_text
    from subjects
    inner join {{ ref('executive_categories') }} as categories on subjects.category = categories.category
    left join headlines
        on
            subjects.category = headlines.category
            and subjects.tenant_id is not distinct from headlines.tenant_id

)

select
    subjects.category,
    subjects.title,
    cast(round(scores.score) as bigint) as score,
    case {{ trend_label('trends.n_periods', 'trends.mann_kendall_z') }}
        when 'improving' then 'up'
        when 'worsening' then 'down'
        else 'stable'
    end as trend,
    replace(
        replace(
            replace(sentences.template, '{value}', coalesce(sentences.value_text, '')),
            '{change}',
            coalesce(sentences.change_text, '')
        ),
        '{measure}',
        coalesce(sentences.measure_text, '')
    ) as narrative,
    scores.change as score_change,
    scores.measures_used,
    subjects.tenant_id,
    subjects.scope,
    scores.measures_known,
    scores.weight_used,
    coalesce(trends.n_periods, 0) as n_periods,
    trends.mann_kendall_z as trend_z,
    trends.sen_slope as trend_slope,
    case
        when scores.score is null then 'no measure of the category has a figure'
        when coalesce(trends.n_periods, 0) < 5 then 'fewer than five periods: no trend can be told'
        when scores.change is null then 'no measure has a period before'
    end as reason
from subjects
inner join scores
    on
        subjects.category = scores.category
        and subjects.tenant_id is not distinct from scores.tenant_id
inner join sentences
    on
        subjects.category = sentences.category
        and subjects.tenant_id is not distinct from sentences.tenant_id
left join trends
    on
        subjects.category = trends.category
        and subjects.tenant_id is not distinct from trends.tenant_id
