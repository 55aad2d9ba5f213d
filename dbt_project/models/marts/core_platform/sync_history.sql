{{ publish_source('core_platform', 'sync_history') }}
