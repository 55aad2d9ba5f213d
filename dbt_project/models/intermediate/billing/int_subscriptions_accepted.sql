-- One row a subscription that is billed: one that overlaps a subscription of the tenant known earlier is left out.
with

subscriptions as (

    select
        *,
        coalesce(ended_on, date '9999-12-31') as covered_to,
        row_number() over (partition by tenant_id order by known_night, started_on, subscription_id) as place
    from {{ ref('stg_subscriptions') }}

)

select
    subscription_id,
    tenant_id,
    tenant_slug,
    plan,
    item_key,
    currency,
    started_on,
    ended_on,
    covered_to,
    net_terms_days,
    minimum_commitment,
    known_close
from subscriptions
where
    started_on < covered_to
    and not exists (
        select 1
        from subscriptions as earlier
        where
            earlier.tenant_id = subscriptions.tenant_id
            and earlier.place < subscriptions.place
            and earlier.started_on < subscriptions.covered_to
            and subscriptions.started_on < earlier.covered_to
    )
