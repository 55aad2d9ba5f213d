-- One row a rule that only billing can check, with the column it looks at: names that the quarantine uses.
-- Their severities stand in expectations/severities.yml, like those of every rule.
select
    'usage_events' as table_name,
    'cancels_nothing' as rule,
    'cancels_event_id' as column_name

union all

select
    'usage_events' as table_name,
    'cancels_itself' as rule,
    'cancels_event_id' as column_name

union all

select
    'usage_events' as table_name,
    'already_cancelled' as rule,
    'cancels_event_id' as column_name

union all

select
    'usage_events' as table_name,
    'no_subscription' as rule,
    'occurred_at' as column_name

union all

select
    'usage_events' as table_name,
    'unpriced' as rule,
    'driver_key' as column_name

union all

select
    'subscriptions' as table_name,
    'subscription_overlap' as rule,
    'started_on' as column_name

union all

select
    'subscriptions' as table_name,
    'unpriced' as rule,
    'plan' as column_name

union all

select
    'payments' as table_name,
    'unknown_invoice' as rule,
    'invoice_id' as column_name

union all

select
    'payments' as table_name,
    'wrong_currency' as rule,
    'currency' as column_name

union all

select
    'payments' as table_name,
    'excess_refund' as rule,
    'amount' as column_name
