{{ publish_source('monitoring', 'messaging_hourly_volume') }}
