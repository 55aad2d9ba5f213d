-- One row a hash of tenant and event id that usage events of several service months have: few, and mostly none. Hashes
-- are counted sooner than ids; whether the ids are the same is looked at in int_repeated_ids.
with

-- A book of one month has none: with no row here, no event is looked at.
several as (

    select
        first_month,
        last_month
    from (
        select
            min(service_month) as first_month,
            max(service_month) as last_month
        from {{ ref('int_usage_receipts') }}
    ) as months
    where first_month <> last_month

)

select {{ hash_64('events.tenant_id', 'events.event_id') }} as id_hash
from {{ ref('stg_usage_events') }} as events
cross join several
group by {{ hash_64('events.tenant_id', 'events.event_id') }}
having min(events.service_month) <> max(events.service_month)
