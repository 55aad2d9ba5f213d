-- Law 9: at most one subscription of a tenant covers a day, as each invoice date knows them.
select
    earlier.tenant_id as broken_by,
    earlier.subscription_id,
    later.subscription_id as overlapping_subscription_id
from {{ ref('int_subscription_states') }} as earlier
inner join {{ ref('int_subscription_states') }} as later
    on
        earlier.tenant_id = later.tenant_id
        and earlier.subscription_id < later.subscription_id
        and earlier.started_on < later.covered_to
        and earlier.covered_to > later.started_on
where
    earlier.started_on < earlier.covered_to
    and later.started_on < later.covered_to
    and earlier.known_close < later.ended_close
    and earlier.ended_close > later.known_close
    and earlier.known_close < earlier.ended_close
    and later.known_close < later.ended_close
-- depends_on: {{ ref('billing_certificate') }}
