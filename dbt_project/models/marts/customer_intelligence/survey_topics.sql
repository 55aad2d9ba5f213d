{{ publish_source('customer_intelligence', 'survey_topics') }}
