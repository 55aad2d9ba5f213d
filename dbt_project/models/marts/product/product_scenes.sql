{{ publish_source('product', 'product_scenes') }}
