-- A tenant's records are compared anew when one of them changed: a pair's probability depends on nothing but the
-- records of its tenant and the model. Each tenant has a row without a pair, which keeps what was compared.
{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='tenant_id') }}

with records as (

    select
        *,
        {{ content_hash(['source_platform', 'source_id', 'name', 'email', 'date_of_birth', 'city']) }} as content_hash
    from {{ ref('stg_identity_records') }}
    where tenant_id is not null

),

tenants as (

    select
        tenant_id,
        {{ identity_model() }} as identity_model,
        {{ dbt.hash(dbt.listagg('content_hash', "','", 'order by content_hash')) }} as content_hash
    from records
    group by tenant_id

),

changed as (

    select * from tenants
    {%- if is_incremental() %}
    except
    select
        tenant_id,
        identity_model,
        content_hash
    from {{ this }}
    where left_id is null
    {%- endif %}

),

numbered as (

    select
        records.*,
        row_number() over (order by records.tenant_id, records.source_platform, records.source_id) as number
    from records
    inner join changed on records.tenant_id = changed.tenant_id

),

found as (

    select unnest({{ identity_pairs('numbered', ref('identity_weights')) }}) as pair

),

pairs as (

    select
        {{ field('pair', 'left_number') }} as left_number,
        {{ field('pair', 'right_number') }} as right_number,
        {{ field('pair', 'name_level') }} as name_level,
        {{ field('pair', 'email_level') }} as email_level,
        {{ field('pair', 'date_of_birth_level') }} as date_of_birth_level,
        {{ field('pair', 'city_level') }} as city_level,
        {{ field('pair', 'evidence') }} as evidence,
        {{ field('pair', 'prior') }} as prior,
        {{ field('pair', 'probability') }} as probability
    from found

)

select
    changed.tenant_id,
    changed.identity_model,
    changed.content_hash,
    cast(null as {{ dbt.type_string() }}) as left_platform,
    cast(null as {{ dbt.type_string() }}) as left_id,
    cast(null as {{ dbt.type_string() }}) as right_platform,
    cast(null as {{ dbt.type_string() }}) as right_id,
    cast(null as bigint) as name_level,
    cast(null as bigint) as email_level,
    cast(null as bigint) as date_of_birth_level,
    cast(null as bigint) as city_level,
    cast(null as double precision) as evidence,
    cast(null as double precision) as prior,
    cast(null as double precision) as probability
from changed

union all

select
    lefts.tenant_id,
    {{ identity_model() }} as identity_model,
    cast(null as {{ dbt.type_string() }}) as content_hash,
    lefts.source_platform as left_platform,
    lefts.source_id as left_id,
    rights.source_platform as right_platform,
    rights.source_id as right_id,
    pairs.name_level,
    pairs.email_level,
    pairs.date_of_birth_level,
    pairs.city_level,
    pairs.evidence,
    pairs.prior,
    pairs.probability
from pairs
inner join numbered as lefts on pairs.left_number = lefts.number
inner join numbered as rights on pairs.right_number = rights.number
