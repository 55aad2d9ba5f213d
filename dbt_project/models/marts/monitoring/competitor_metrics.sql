{{ publish_source('monitoring', 'competitor_metrics') }}
