-- One row per tenant with a name: the names of the tenant and its products, one a line.
with names as (

    select distinct
        tenant_id,
        {{ single_spaced('brand') }} as brand
    from {{ ref('stg_brand_names') }}

)

select
    tenant_id,
    {{ dbt.listagg('brand', "'\n'", 'order by brand') }} as brand_names
from names
group by tenant_id
