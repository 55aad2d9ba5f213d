{{ publish_source('customer_intelligence', 'events') }}
