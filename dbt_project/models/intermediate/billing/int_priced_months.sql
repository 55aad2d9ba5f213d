-- One row a service month of usage, with a fingerprint of its usage, its costs and the runs of days that prices divide
-- it into: as long as it is the same, so is the usage of each run.
with

runs as (

    select
        service_month,
        {{ rows_digest([
            'tenant_id', 'item_key', 'day_from', 'day_to', "billed_to = date '9999-12-31'"
        ]) }} as digest
    from {{ ref('int_usage_prices') }}
    group by service_month

)

select
    months.service_month,
    months.fingerprint || ' ' || coalesce(runs.digest, '') as fingerprint
from {{ ref('int_costed_months') }} as months
left join runs on months.service_month = runs.service_month
