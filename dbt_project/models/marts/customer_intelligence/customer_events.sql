{{ publish_source(
    'customer_intelligence', 'customer_events', texts={'summary': ('customer_event', 'id')},
    months=('int_signal_months', 'coalesce(occurred_at, received_at)')
) }}
