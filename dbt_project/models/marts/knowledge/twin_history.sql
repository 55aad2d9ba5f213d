{{ publish_source('knowledge', 'twin_history') }}
