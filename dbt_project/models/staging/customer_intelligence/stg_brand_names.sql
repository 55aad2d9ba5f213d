-- Names under which a tenant's customers may speak of it: its own, with and without its legal form, and those of its
-- products and their brands. Each tenant and name once.
with names as (

    select
        id as tenant_id,
        name as brand
    from {{ source('core_platform', 'tenants') }}

    union all

    select
        id as tenant_id,
        slug as brand
    from {{ source('core_platform', 'tenants') }}

    union all

    select
        id as tenant_id,
        regexp_replace(name, '[ ,]+(Corp|Corporation|Inc|Ltd|LLC|GmbH|AG|SA|SE|PLC|Co)[.]?$', '') as brand
    from {{ source('core_platform', 'tenants') }}

    union all

    select
        tenant_id,
        name as brand
    from {{ source('product', 'products') }}

    union all

    select
        tenant_id,
        brand
    from {{ source('product', 'products') }}

)

select distinct
    tenant_id,
    trim(brand) as brand
from names
where
    tenant_id is not null
    and length(trim(brand)) > 1
