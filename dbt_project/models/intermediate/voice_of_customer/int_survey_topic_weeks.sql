-- One row per tenant, survey, topic and week in which the survey has scored responses: the topic's impact on the mean
-- sentiment of that week.
{{ topic_weeks(['tenant_id', 'survey_id'], 'overall_score') }}
