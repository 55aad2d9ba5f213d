{{ publish_source('strategy', 'project_forecasts') }}
