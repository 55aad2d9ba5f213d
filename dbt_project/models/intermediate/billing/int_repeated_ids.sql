-- One row a service month, with the ids of its usage events that the same tenant used in another month, too: each is an
-- event of its own, but a sender that counts anew each month, or sends twice, should be asked.
with

events as (

    select
        tenant_id,
        event_id,
        service_month,
        {{ hash_64('tenant_id', 'event_id') }} as id_hash
    from {{ ref('stg_usage_events') }}

),

-- Ids that differ may have the same hash.
candidates as (

    select
        events.service_month,
        min(events.service_month) over (partition by events.tenant_id, events.event_id) as first_month,
        max(events.service_month) over (partition by events.tenant_id, events.event_id) as last_month
    from events
    inner join {{ ref('int_repeated_hashes') }} as repeated on events.id_hash = repeated.id_hash

)

select
    service_month,
    count(*) as ids
from candidates
where first_month <> last_month
group by service_month
