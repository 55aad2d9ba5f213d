{{ publish_source('strategy', 'ab_events') }}
