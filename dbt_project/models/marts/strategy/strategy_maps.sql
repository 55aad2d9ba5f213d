{{ publish_source('strategy', 'strategy_maps') }}
