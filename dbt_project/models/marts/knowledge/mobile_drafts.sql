{{ publish_source('knowledge', 'mobile_drafts') }}
