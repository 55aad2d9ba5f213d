{{ publish_source('monitoring', 'database_query_heatmap') }}
