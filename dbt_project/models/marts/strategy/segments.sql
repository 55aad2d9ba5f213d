{{ publish_source('strategy', 'segments') }}
