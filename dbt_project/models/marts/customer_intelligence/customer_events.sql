{{ publish_source('customer_intelligence', 'customer_events', texts={'summary': ('customer_event', 'id')}) }}
