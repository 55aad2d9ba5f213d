{{ publish_source('customer_intelligence', 'customer_events') }}
