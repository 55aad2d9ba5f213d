select
    matches.topic_id,
    matches.entity_id,
    matches.entity_type,
    matches.tenant_id,
    matches.text_day as date,
    matches.alias,
    nullif(matches.valid_from, cast('0001-01-01' as date)) as alias_valid_from,
    matches.start_offset as match_start,
    matches.end_offset as match_end,
    assignments.topic_id is not null as is_assigned
from {{ ref('int_alias_matches') }} as matches
left join {{ ref('int_topic_assignments') }} as assignments
    on
        matches.topic_id = assignments.topic_id
        and matches.entity_id = assignments.entity_id
        and matches.entity_type = assignments.entity_type
        and assignments.assigned_by = 'alias'
where matches.entity_type <> 'former_response'
