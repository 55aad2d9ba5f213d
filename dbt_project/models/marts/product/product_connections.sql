{{ publish_source('product', 'product_connections') }}
