-- A view: everything that it shows is published already, and put together only for who asks.
with

measures as (

    select * from {{ ref('executive_measures') }}
    where value is not null

),

-- What other systems report is told by the measure itself.
reported as (

    select
        tenant_id,
        category,
        measure,
        'kpi_readings' as evidence_table,
        cast(null as {{ dbt.type_string() }}) as evidence_id,
        period_start as date,
        value as figure,
        cast(1 as double precision) as weight
    from measures
    where source = 'kpi_readings'

),

answers as (

    select
        measures.tenant_id,
        measures.category,
        measures.measure,
        'survey_sentiment' as evidence_table,
        responses.response_id as evidence_id,
        responses.date,
        cast(responses.csat as double precision) as figure,
        cast(1 as double precision) as weight
    from measures
    inner join {{ ref('survey_sentiment') }} as responses on measures.tenant_id = responses.tenant_id
    where
        measures.source = 'survey_responses'
        and responses.csat is not null
        and {{ month_of('responses.date') }} = measures.period_start

),

signals as (

    select
        measures.tenant_id,
        measures.category,
        measures.measure,
        'customer_events' as evidence_table,
        events.id as evidence_id,
        cast(coalesce(events.occurred_at, events.received_at) as date) as date,
        events.sentiment_score as figure,
        cast(1 as double precision) as weight
    from measures
    inner join {{ ref('customer_events') }} as events on measures.tenant_id = events.tenant_id
    where
        measures.source = 'customer_events'
        and events.sentiment_score between -1 and 1
        and {{ month_of('cast(coalesce(events.occurred_at, events.received_at) as date)') }} = measures.period_start

),

paid as (

    select
        measures.tenant_id,
        measures.category,
        measures.measure,
        'invoices' as evidence_table,
        invoices.id as evidence_id,
        invoices.date,
        cast(case when invoices.status = 'Paid' then 1 else 0 end as double precision) as figure,
        cast(1 as double precision) as weight
    from measures
    inner join {{ ref('invoices') }} as invoices
        on measures.scope = 'platform' or measures.tenant_id = invoices.tenant_id
    where measures.source = 'invoices'

),

parts as (

    {{ rollup_parts() | indent(4) }}

),

rolled_up as (

    select
        measures.tenant_id,
        measures.category,
        measures.measure,
        parts.source_table as evidence_table,
        parts.part as evidence_id,
        cast(null as date) as date,
        cast(parts.value as double precision) as figure,
        cast(parts.weight as double precision) as weight
    from measures
    inner join parts on measures.measure = {{ executive_measure_of('parts.figure') }}
    where measures.scope = 'platform' and parts.weight is not null

),

evidence as (

    select * from reported
    union all
    select * from answers
    union all
    select * from signals
    union all
    select * from paid
    union all
    select * from rolled_up

),

weighed as (

    select
        evidence.*,
        measures.value,
        evidence.figure * evidence.weight
        / sum(evidence.weight) over (
            partition by evidence.tenant_id, evidence.category, evidence.measure
        ) as contribution
    from evidence
    inner join measures
        on
            evidence.category = measures.category
            and evidence.measure = measures.measure
            and evidence.tenant_id is not distinct from measures.tenant_id

)

select
    tenant_id,
    category,
    measure,
    evidence_table,
    evidence_id,
    date,
    figure,
    weight,
    {{ exact_part(
        'contribution', 'value', ['tenant_id', 'category', 'measure'], 'date, evidence_id, figure, weight'
    ) | indent(4) }} as contribution
from weighed
