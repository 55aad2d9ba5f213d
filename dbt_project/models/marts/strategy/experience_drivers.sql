select
    id,
    topic,
    impact_score,
    sentiment,
    category,
    tenant_id,
    n_responses,
    n_topic,
    mean_csat,
    mean_without_topic,
    impact_low,
    impact_high,
    reason
from {{ ref('driver_history') }}
where month = {{ month_of(night()) }}
