{{ publish_source('monitoring', 'appstore_versions') }}
