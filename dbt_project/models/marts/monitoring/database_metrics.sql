{{ publish_source('monitoring', 'database_metrics') }}
