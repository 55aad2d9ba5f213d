{{ publish_source('product', 'product_variants') }}
