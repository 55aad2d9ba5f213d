{{ publish_source('strategy', 'journey_flows') }}
