{{ publish_source('strategy', 'segment_versions') }}
