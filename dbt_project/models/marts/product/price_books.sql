{{ publish_source('product', 'price_books') }}
