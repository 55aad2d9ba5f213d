-- Figures that other systems report for the platform as a whole, numbered from the latest period back.
select
    category,
    measure,
    period_start,
    cast(value as double) as value,
    row_number() over (partition by category, measure order by period_start desc) as periods_back
from {{ source('monitoring', 'kpi_readings') }}
where
    tenant_id is null
    and tenant_ref is null
    and value is not null
