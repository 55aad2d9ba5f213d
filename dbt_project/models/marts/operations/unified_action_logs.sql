with

actions as (

    select
        'action_logs' as source_table,
        id as source_id,
        'agent' as actor_type,
        agent_id as actor_id,
        action_type as action,
        cast(null as {{ dbt.type_string() }}) as entity_id,
        status as source_status,
        duration as duration_ms,
        cast(null as bigint) as records,
        cast(null as {{ dbt.type_string() }}) as tenant_id,
        occurred_at
    from {{ ref('action_logs') }}

),

-- The log of reflexes has no id: rows that are alike in every column are told apart by their place among themselves.
reflex_runs as (

    select
        logs.*,
        row_number() over (
            partition by logs.reflex_id, logs.entity_id, logs.occurred_at
            order by logs.outcome, logs.execution_time_ms
        ) as place
    from {{ ref('reflex_logs') }} as logs

),

reflexes_executed as (

    select
        'reflex_logs' as source_table,
        {{ content_hash(['runs.reflex_id', 'runs.entity_id', 'runs.occurred_at', 'runs.place']) }} as source_id,
        'reflex' as actor_type,
        runs.reflex_id as actor_id,
        reflexes.name as action,
        runs.entity_id,
        runs.outcome as source_status,
        runs.execution_time_ms as duration_ms,
        cast(null as bigint) as records,
        coalesce(events.tenant_id, customers.tenant_id) as tenant_id,
        runs.occurred_at
    from reflex_runs as runs
    left join {{ ref('reflexes') }} as reflexes on runs.reflex_id = reflexes.id
    left join {{ ref('customer_events') }} as events on runs.entity_id = events.id
    left join {{ ref('customers') }} as customers on runs.entity_id = customers.id

),

syncs as (

    select
        'sync_history' as source_table,
        runs.id as source_id,
        'integration' as actor_type,
        runs.integration_id as actor_id,
        'SYNC_' || upper(integrations.provider) as action,
        cast(null as {{ dbt.type_string() }}) as entity_id,
        runs.status as source_status,
        runs.duration_ms,
        runs.records_synced as records,
        integrations.tenant_id,
        runs.occurred_at
    from {{ ref('sync_history') }} as runs
    left join {{ ref('integrations') }} as integrations on runs.integration_id = integrations.id

),

unioned as (

    select * from actions

    union all

    select * from reflexes_executed

    union all

    select * from syncs

)

select
    source_table || ':' || source_id as id,
    source_table,
    source_id,
    actor_type,
    actor_id,
    action,
    entity_id,
    case
        when lower(source_status) in ('success', 'alerted') then 'success'
        when lower(source_status) in ('failed', 'error') then 'failed'
        when lower(source_status) in ('running', 'rejected') then lower(source_status)
        when source_status is not null then 'other'
    end as status,
    source_status,
    duration_ms,
    records,
    tenant_id,
    occurred_at
from unioned
