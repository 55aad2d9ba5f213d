-- One row a service month and rule that keeps usage events from counting, of the loader's rules and of billing's. A row
-- that breaks several of them is told of under the first by name; one whose month cannot be read has none.
with

refused as (

    select
        rule,
        row_json
    from {{ ref('stg_usage_quarantine') }}

    union all

    select
        rule,
        row_json
    from {{ ref('int_billing_quarantine') }}
    where table_name = 'usage_events'

),

read_rows as (

    select
        rule,
        cast({{ json_value('row_json', 'occurred_at', 'timestamp') }} as date) as usage_date,
        {{ json_value('row_json', 'driver_key', dbt.type_string()) }} as driver_key,
        case
            when {{ json_value('row_json', 'cancels_event_id', dbt.type_string()) }} is null
                then {{ json_value('row_json', 'quantity', 'decimal(38, 6)') }}
        end as quantity
    from refused

)

select
    {{ month_of('read_rows.usage_date') }} as service_month,
    read_rows.rule,
    count(*) as events,
    cast(sum(read_rows.quantity) as decimal(38, 6)) as quantity,
    cast(sum(read_rows.quantity * drivers.unit_cost) as decimal(38, 12)) as cost
from read_rows
left join {{ ref('stg_cost_drivers') }} as drivers
    on
        read_rows.driver_key = drivers.driver_key
        and read_rows.usage_date >= drivers.used_from
        and read_rows.usage_date < drivers.used_to
group by {{ month_of('read_rows.usage_date') }}, read_rows.rule
