-- Usage of accepted events added up by tenant, driver, usage day and night; several rows may share these.
select
    tenant_id,
    tenant_slug,
    driver_key,
    usage_date,
    service_month,
    known_night,
    quantity,
    events
from {{ source('landing', 'usage_sums') }}
