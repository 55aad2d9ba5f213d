-- One row per tenant, survey and topic: Mann-Kendall test and Sen's slope of the topic's weekly impact.
{{ mann_kendall(
    ref('int_survey_topic_weeks'), ['tenant_id', 'survey_id', 'topic_id'], 'week_start', 'impact', 'week_number'
) }}
