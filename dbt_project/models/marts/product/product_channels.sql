{{ publish_source('product', 'product_channels') }}
