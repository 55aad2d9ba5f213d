{%- set text = dbt.type_string() -%}
with

tenants as (

    select
        id,
        plan,
        status
    from {{ ref('tenants') }}

),

-- Conditions such as `health < 30` are read; others (`ticket_spike > 2x`) cannot be held against a row.
conditions as (

    select
        id,
        trigger_condition,
        {{ condition_part('trigger_condition', 1) }} as measure,
        {{ condition_part('trigger_condition', 2) }} as operator,
        cast({{ condition_part('trigger_condition', 3) }} as double precision) as bound
    from {{ ref('reflexes') }}

),

measured as (

    select
        'sentiment' as measure,
        'customer_events' as table_name,
        id,
        tenant_id,
        sentiment_score as figure
    from {{ ref('customer_events') }}
    where sentiment_score between -1 and 1

    union all

    select
        'health' as measure,
        'customers' as table_name,
        id,
        tenant_id,
        cast(health_score as double precision) as figure
    from {{ ref('customers') }}
    where health_score is not null

),

fired as (

    select distinct
        reflex_id,
        entity_id
    from {{ ref('reflex_logs') }}
    where lower(outcome) in ('success', 'alerted')

),

reflexes_outside as (

    select
        'reflex_outside_condition' as rule,
        measured.tenant_id,
        measured.table_name as subject_table,
        measured.id as subject_id,
        'reflexes' as limit_table,
        conditions.id as limit_id,
        conditions.measure || ' ' || {{ plain_number('measured.figure') }} as found,
        conditions.trigger_condition as limit_text,
        1 as n_rows
    from fired
    inner join conditions on fired.reflex_id = conditions.id
    inner join measured
        on
            fired.entity_id = measured.id
            and conditions.measure = measured.measure
    where
        not case conditions.operator
            when '<' then measured.figure < conditions.bound
            when '<=' then measured.figure <= conditions.bound
            when '>' then measured.figure > conditions.bound
            when '>=' then measured.figure >= conditions.bound
            else measured.figure = conditions.bound
        end

),

budgets as (

    select
        id,
        logic,
        cast({{ daily_budget('logic') }} as decimal(18, 2)) as daily_limit
    from {{ ref('governance_policies') }}
    where lower(status) = 'active'

),

spend_above as (

    select
        'spend_above_budget' as rule,
        spend.tenant_id,
        'tenant_usage_daily' as subject_table,
        {{ row_name(['spend.tenant_id', 'spend.usage_date']) }} as subject_id,
        'governance_policies' as limit_table,
        budgets.id as limit_id,
        cast(cast(round(spend.cost, 2) as decimal(18, 2)) as {{ text }}) || ' USD' as found,
        cast(budgets.daily_limit as {{ text }}) || ' USD a day' as limit_text,
        spend.drivers as n_rows
    from {{ ref('int_spend_days') }} as spend
    inner join budgets on spend.cost > budgets.daily_limit

),

without_mfa as (

    select
        'mfa_not_enabled' as rule,
        users.tenant_id,
        'user_security' as subject_table,
        security.user_id as subject_id,
        'system_settings' as limit_table,
        settings.key as limit_id,
        'one factor' as found,
        settings.value as limit_text,
        1 as n_rows
    from {{ ref('user_security') }} as security
    inner join {{ ref('system_settings') }} as settings
        on settings.key = 'enable_mfa_force' and lower(settings.value) = 'true'
    left join {{ ref('users') }} as users on security.user_id = users.id
    where not security.two_factor_enabled

),

features_beyond as (

    select
        'feature_not_in_plan' as rule,
        tenants.id as tenant_id,
        'sso_providers' as subject_table,
        {{ row_name(['tenants.id', 'providers.provider_type']) }} as subject_id,
        'plans' as limit_table,
        plans.name as limit_id,
        'enabled' as found,
        cast(plans.features as {{ text }}) as limit_text,
        1 as n_rows
    from {{ ref('sso_providers') }} as providers
    inner join tenants on providers.tenant_id = tenants.id
    inner join {{ ref('plans') }} as plans on tenants.plan = plans.name
    where
        providers.enabled
        and cast(plans.features as {{ text }}) not like '%"sso"%'
        and cast(plans.features as {{ text }}) not like '%"all_features"%'

),

plans_apart as (

    select
        'plan_not_subscribed' as rule,
        tenants.id as tenant_id,
        'tenants' as subject_table,
        tenants.id as subject_id,
        'subscriptions' as limit_table,
        subscriptions.subscription_id as limit_id,
        tenants.plan as found,
        subscriptions.plan as limit_text,
        1 as n_rows
    from {{ ref('stg_subscriptions') }} as subscriptions
    inner join tenants on subscriptions.tenant_id = tenants.id
    where
        subscriptions.known_night <= {{ night() }}
        and (subscriptions.ended_night is null or subscriptions.ended_night > {{ night() }})
        and subscriptions.started_on <= {{ night() }}
        and subscriptions.covered_to > {{ night() }}
        and subscriptions.plan <> tenants.plan

),

users_beyond as (

    select
        'too_many_users' as rule,
        tenants.id as tenant_id,
        'tenants' as subject_table,
        tenants.id as subject_id,
        'plans' as limit_table,
        plans.name as limit_id,
        cast(count(users.id) as {{ text }}) || ' users' as found,
        cast(plans.max_users as {{ text }}) as limit_text,
        count(users.id) as n_rows
    from tenants
    inner join {{ ref('plans') }} as plans on tenants.plan = plans.name
    inner join {{ ref('users') }} as users on tenants.id = users.tenant_id
    group by tenants.id, plans.name, plans.max_users
    having count(users.id) > plans.max_users

),

estimates as (

    select
        'estimate_upside_down' as rule,
        cast(null as {{ text }}) as tenant_id,
        'project_forecasts' as subject_table,
        {{ row_name(['project_id', 'metric']) }} as subject_id,
        'project_forecasts' as limit_table,
        {{ row_name(['project_id', 'metric']) }} as limit_id,
        {{ plain_number('low_est') }} as found,
        {{ plain_number('high_est') }} as limit_text,
        1 as n_rows
    from {{ ref('project_forecasts') }}
    where low_est > high_est

),

winners as (

    select
        'winner_not_shown' as rule,
        cast(null as {{ text }}) as tenant_id,
        'ab_tests' as subject_table,
        ab_test_id as subject_id,
        'ab_test_results' as limit_table,
        {{ row_name(['ab_test_id', 'metric', 'variant_b']) }} as limit_id,
        platform_winner as found,
        coalesce(winner || ' won', reason) as limit_text,
        1 as n_rows
    from {{ ref('ab_test_results') }}
    where platform_winner is not null and winner_differs and metric is not null

),

deflections as (

    select
        'deflection_rate_off' as rule,
        cast(null as {{ text }}) as tenant_id,
        'messaging_hourly_volume' as subject_table,
        {{ row_name(['date', 'hour']) }} as subject_id,
        'messaging_hourly_volume' as limit_table,
        {{ row_name(['date', 'hour']) }} as limit_id,
        {{ plain_number('100 * deflection_rate') }} || '%' as found,
        {{ plain_number('cast(100 * bot_handled as double precision) / (bot_handled + human_handled)') }} || '%'
            as limit_text,
        1 as n_rows
    from {{ ref('messaging_hourly_volume') }}
    where
        bot_handled + human_handled > 0
        and abs(deflection_rate - cast(bot_handled as double precision) / (bot_handled + human_handled)) > 0.01

),

levels as (

    select
        'level_is_not_depth' as rule,
        cast(null as {{ text }}) as tenant_id,
        'org_units' as subject_table,
        id as subject_id,
        'hierarchy_nodes' as limit_table,
        id as limit_id,
        cast(level as {{ text }}) as found,
        coalesce(cast(depth as {{ text }}), 'in a circle, not') as limit_text,
        1 as n_rows
    from {{ ref('hierarchy_nodes') }}
    where level is not null and (level <> depth or depth is null)

),

projects as (

    select
        'completed_not_full' as rule,
        cast(null as {{ text }}) as tenant_id,
        'projects' as subject_table,
        id as subject_id,
        'projects' as limit_table,
        id as limit_id,
        {{ plain_number('100 * progress') }} || '%' as found,
        '100%' as limit_text,
        1 as n_rows
    from {{ ref('projects') }}
    where lower(status) = 'completed' and progress < 1

),

owners as (

    select
        'tenants' as owner_table,
        id as owner_id,
        id as tenant_id,
        lower(status) as owner_status
    from tenants

    union all

    select
        'products' as owner_table,
        id as owner_id,
        tenant_id,
        lower(status) as owner_status
    from {{ ref('products') }}

    union all

    select
        'surveys' as owner_table,
        id as owner_id,
        tenant_id,
        lower(status) as owner_status
    from {{ ref('surveys') }}

    union all

    select
        'documents' as owner_table,
        id as owner_id,
        cast(null as {{ text }}) as tenant_id,
        lower(status) as owner_status
    from {{ ref('documents') }}

),

belongings as (

    {% for table in ['webhooks', 'surveys', 'api_keys', 'integrations'] %}
        select
            'tenants' as owner_table,
            tenant_id as owner_id,
            '{{ table }}' as table_name,
            id as row_id,
            lower(status) as status,
            1 as n_rows
        from {{ ref(table) }}

        union all

    {% endfor %}
    select
        'tenants' as owner_table,
        tenant_id as owner_id,
        'sso_providers' as table_name,
        {{ row_name(['tenant_id', 'provider_type']) }} as row_id,
        case when enabled then 'enabled' end as status,
        1 as n_rows
    from {{ ref('sso_providers') }}

    union all

    select
        'products' as owner_table,
        product_id as owner_id,
        'product_channels' as table_name,
        {{ row_name(['product_id', 'channel']) }} as row_id,
        case when is_available then 'available' end as status,
        1 as n_rows
    from {{ ref('product_channels') }}

    union all

    select
        'products' as owner_table,
        product_b_id as owner_id,
        'product_connections' as table_name,
        {{ row_name(['product_a_id', 'product_b_id', 'relation_type']) }} as row_id,
        'offered' as status,
        1 as n_rows
    from {{ ref('product_connections') }}

    union all

    select
        'surveys' as owner_table,
        survey_id as owner_id,
        'survey_responses' as table_name,
        'all of ' || survey_id as row_id,
        'received' as status,
        count(*) as n_rows
    from {{ ref('stg_survey_responses') }}
    group by survey_id

    union all

    select
        'documents' as owner_table,
        document_id as owner_id,
        'knowledge_embeddings' as table_name,
        'all of ' || document_id as row_id,
        'embedded' as status,
        count(*) as n_rows
    from {{ ref('knowledge_embeddings') }}
    group by document_id

),

states as (

    select
        'status_of_owner' as rule,
        owners.tenant_id,
        belongings.table_name as subject_table,
        belongings.row_id as subject_id,
        owners.owner_table as limit_table,
        owners.owner_id as limit_id,
        belongings.status as found,
        owners.owner_status as limit_text,
        belongings.n_rows
    from {{ ref('contradiction_statuses') }} as forbidden
    inner join owners
        on
            forbidden.owner_table = owners.owner_table
            and forbidden.owner_status = owners.owner_status
    inner join belongings
        on
            forbidden.table_name = belongings.table_name
            and forbidden.status = belongings.status
            and owners.owner_table = belongings.owner_table
            and owners.owner_id = belongings.owner_id

),

every_place as (

    {% for places in [
        'reflexes_outside', 'spend_above', 'without_mfa', 'features_beyond', 'plans_apart', 'users_beyond', 'estimates',
        'winners', 'deflections', 'levels', 'projects', 'states',
    ] %}
        select * from {{ places }}
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- Tables without a key may hold a row twice.
found as (

    select
        rule,
        subject_table,
        subject_id,
        limit_table,
        limit_id,
        min(tenant_id) as tenant_id,
        min(found) as found,
        min(limit_text) as limit_text,
        sum(n_rows) as n_rows
    from every_place
    group by rule, subject_table, subject_id, limit_table, limit_id

)

select
    found.rule,
    rules.title as rule_text,
    replace(
        replace(
            replace(
                replace(rules.words, '{subject_row}', found.subject_table || ' ' || found.subject_id),
                '{limit_row}', found.limit_table || ' ' || found.limit_id
            ),
            '{found}', coalesce(found.found, 'nothing')
        ),
        '{limit}', coalesce(found.limit_text, 'nothing')
    ) as words,
    found.subject_table,
    found.subject_id,
    found.limit_table,
    found.limit_id,
    found.tenant_id,
    found.found,
    found.limit_text,
    cast(found.n_rows as bigint) as n_rows
from found
inner join {{ ref('contradiction_rules') }} as rules on found.rule = rules.rule
