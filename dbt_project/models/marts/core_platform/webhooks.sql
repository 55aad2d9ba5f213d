{{ publish_source('core_platform', 'webhooks') }}
