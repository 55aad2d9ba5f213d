-- One row per tenant and topic: Mann-Kendall test and Sen's slope of the topic's weekly impact on CSAT.
{{ mann_kendall(ref('int_tenant_topic_weeks'), ['tenant_id', 'topic_id'], 'week_start', 'impact', 'week_number') }}
