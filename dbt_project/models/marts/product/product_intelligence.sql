{{ publish_source('product', 'product_intelligence') }}
