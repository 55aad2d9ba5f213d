{{ publish_source('product', 'product_versions') }}
