{{ publish_source('customer_intelligence', 'nps_events') }}
