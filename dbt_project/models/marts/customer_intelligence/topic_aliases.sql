{{ publish_source('customer_intelligence', 'topic_aliases') }}
