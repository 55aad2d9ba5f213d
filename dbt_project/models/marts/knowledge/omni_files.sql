{{ publish_source('knowledge', 'omni_files') }}
