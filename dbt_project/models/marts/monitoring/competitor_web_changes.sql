{{ publish_source('monitoring', 'competitor_web_changes') }}
