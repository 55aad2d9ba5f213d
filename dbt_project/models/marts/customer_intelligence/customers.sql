{{ publish_source('customer_intelligence', 'customers') }}
