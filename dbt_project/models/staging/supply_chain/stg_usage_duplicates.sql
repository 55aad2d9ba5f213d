-- Usage events that only repeat one that counts, by service month.
select
    service_month,
    events
from {{ source('landing', 'duplicates') }}
where table_name = 'usage_events'
