-- One row a tenant, used item and service month. A month is made anew only if its usage changed.
{{ config(**by_service_month('stg_usage_months')) }}

with

months as (

    {{ months_to_make('stg_usage_months') }}

)

select distinct
    tenant_id,
    driver_key as item_key,
    service_month
from {{ ref('int_usage_days') }}
where service_month in (select months.service_month from months)
