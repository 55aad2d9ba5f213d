{{ publish_source('core_platform', 'audit_logs') }}
