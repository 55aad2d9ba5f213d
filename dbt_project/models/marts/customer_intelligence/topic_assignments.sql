select
    topic_id,
    entity_id,
    score,
    assigned_at,
    tenant_id,
    entity_type,
    assigned_by,
    n_matches,
    matched_alias,
    alias_valid_from,
    match_start,
    match_end
from {{ ref('int_topic_assignments') }}
where entity_type <> 'former_response'
