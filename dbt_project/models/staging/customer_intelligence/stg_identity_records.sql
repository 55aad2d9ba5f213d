-- Records of people as platforms keep them, Loompin's customers and ids on other platforms. What they are compared by
-- is raw: nothing but the linkage reads it, and this is a view, so that it is not stored again.
with customers as (

    select
        id,
        tenant_id,
        email,
        name
    from {{ source('customer_intelligence', 'customers') }}

),

aliases as (

    select
        -- a tenant that was named and is not known is not the customer's
        case
            when graph.tenant_id is not null or graph.tenant_ref is not null then graph.tenant_id
            else customers.tenant_id
        end as tenant_id,
        customers.tenant_id as customer_tenant_id,
        graph.source_platform,
        graph.source_id,
        graph.canonical_id,
        graph.confidence,
        graph.name,
        graph.email,
        graph.date_of_birth,
        graph.city
    from {{ source('customer_intelligence', 'identity_graph') }} as graph
    left join customers on graph.canonical_id = customers.id

),

-- A row with its tenant and one without may describe the same id: the platform's link counts, the surest first.
ranked as (

    select
        *,
        row_number() over (
            partition by tenant_id, source_platform, source_id
            order by
                case when canonical_id is null then 1 else 0 end asc,
                coalesce(confidence, -1) desc,
                canonical_id asc,
                case when name is null and email is null then 1 else 0 end asc,
                name asc,
                email asc,
                date_of_birth asc,
                city asc
        ) as place
    from aliases

)

select
    tenant_id,
    {{ own_platform() }} as source_platform,
    {{ guarded_id('id') }} as source_id,
    true as is_customer,
    {{ guarded_id('id') }} as customer_id,
    {{ guarded_id('id') }} as canonical_id,
    cast(null as double precision) as confidence,
    name,
    email,
    cast(null as date) as date_of_birth,
    cast(null as {{ dbt.type_string() }}) as city
from customers

union all

select
    tenant_id,
    source_platform,
    {{ guarded_id('source_id') }} as source_id,
    false as is_customer,
    -- what the platform links across tenants is shown and not followed
    case when tenant_id = customer_tenant_id then {{ guarded_id('canonical_id') }} end as customer_id,
    {{ guarded_id('canonical_id') }} as canonical_id,
    confidence,
    name,
    email,
    date_of_birth,
    city
from ranked
where place = 1
