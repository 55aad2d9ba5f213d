{{ publish_source('strategy', 'roi_opportunities') }}
