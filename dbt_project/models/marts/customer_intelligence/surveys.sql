{{ publish_source('customer_intelligence', 'surveys') }}
