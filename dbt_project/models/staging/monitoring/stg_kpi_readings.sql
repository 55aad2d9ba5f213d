-- Figures that other systems report, for the platform as a whole (tenant_id null) or for a tenant, numbered from the
-- latest period back. Readings of a tenant that nobody knows are left out.
select
    tenant_id,
    category,
    measure,
    period_start,
    cast(value as double precision) as value,
    row_number() over (partition by tenant_id, category, measure order by period_start desc) as periods_back
from {{ source('monitoring', 'kpi_readings') }}
where
    (tenant_id is not null or tenant_ref is null)
    and value is not null
