{{ publish_source('monitoring', 'competitor_social_feed') }}
