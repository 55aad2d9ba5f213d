{{ publish_source('customer_intelligence', 'win_loss_analytics') }}
