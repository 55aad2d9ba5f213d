{{ publish_source('customer_intelligence', 'taxonomy_topics') }}
