{{ publish_source('product', 'price_entries') }}
