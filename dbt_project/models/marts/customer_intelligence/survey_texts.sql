select
    entity_id as response_id,
    body as text,
    tenant_id
from {{ ref('int_texts') }}
where entity_type = 'survey_response'
