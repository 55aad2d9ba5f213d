{{ publish_source('product', 'features') }}
