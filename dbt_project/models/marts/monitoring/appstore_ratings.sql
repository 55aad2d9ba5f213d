{{ publish_source('monitoring', 'appstore_ratings') }}
