{{ publish_source('product', 'products') }}
