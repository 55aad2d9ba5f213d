{{ publish_source('strategy', 'journeys') }}
