-- Law 9: at most one subscription of a tenant covers a day.
select
    earlier.tenant_id,
    earlier.subscription_id,
    later.subscription_id as overlapping_subscription_id
from {{ ref('int_subscriptions_accepted') }} as earlier
inner join {{ ref('int_subscriptions_accepted') }} as later
    on
        earlier.tenant_id = later.tenant_id
        and earlier.subscription_id < later.subscription_id
        and earlier.started_on < later.covered_to
        and earlier.covered_to > later.started_on
