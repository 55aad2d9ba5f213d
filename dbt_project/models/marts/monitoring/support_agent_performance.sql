{{ publish_source('monitoring', 'support_agent_performance') }}
