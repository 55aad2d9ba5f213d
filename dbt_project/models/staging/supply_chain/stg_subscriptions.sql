-- Subscriptions as each night knew them, one row a version, with the terms that hold where the source leaves them
-- empty.
select
    id as subscription_id,
    tenant_id,
    tenant_slug,
    plan,
    'plan:' || plan as item_key,
    currency,
    started_on,
    ended_on,
    coalesce(ended_on, date '9999-12-31') as covered_to,
    coalesce(net_terms_days, 30) as net_terms_days,
    coalesce(minimum_commitment, 0) as minimum_commitment,
    received_at,
    _known_night as known_night,
    _ended_night as ended_night,
    _source_file as source_file,
    _source_line as source_line,
    {{ row_json('supply_chain', 'subscriptions') }} as row_json
from {{ source('landing', 'history_subscriptions') }}
