{{ publish_source('monitoring', 'telemetry_events') }}
