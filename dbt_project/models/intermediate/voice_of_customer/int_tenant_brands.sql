-- One row per tenant with a name: a pattern that matches the names of the tenant and its products, the longest first.
with names as (

    select
        tenant_id,
        brand,
        {{ name_pattern('brand') }} as pattern
    from {{ ref('stg_brand_names') }}

)

select
    tenant_id,
    {{ dbt.listagg('pattern', "'|'", 'order by length(brand) desc, brand') }} as brand_pattern
from names
group by tenant_id
