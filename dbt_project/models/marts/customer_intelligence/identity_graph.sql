{{ publish_source('customer_intelligence', 'identity_graph') }}
