{{ publish_source('strategy', 'roadmap_items') }}
