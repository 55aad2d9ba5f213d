-- Law 5: the entries that a completed night found in the ledger stand in it, unchanged: what became known since has a
-- later night.
with

last_night as (

    select
        night,
        entries,
        digest
    from {{ ref('stg_ledger_nights') }}
    where night = (select max(kept.night) from {{ ref('stg_ledger_nights') }} as kept)

),

entries as (

    select *
    from {{ ref('ledger_entries') }}
    where night <= (select last_night.night from last_night)

),

now as (

    select
        count(*) as entries,
        {{ ledger_digest() }} as digest
    from entries

)

select
    last_night.night as broken_by,
    last_night.entries as entries_then,
    now.entries as entries_now
from last_night
cross join now
where
    last_night.entries <> now.entries
    or last_night.digest <> now.digest
-- depends_on: {{ ref('billing_certificate') }}
