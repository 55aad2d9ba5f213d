-- One row per tenant, topic and week in which the tenant has rated responses: the topic's impact on the mean CSAT of
-- that week.
{{ topic_weeks(['tenant_id'], 'csat') }}
