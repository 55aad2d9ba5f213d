-- One row a rule that only billing can check, with the column it looks at and what is wrong with a row that breaks it.
-- Names that the quarantine uses; their severities stand in expectations/severities.yml, like those of every rule.
-- Plain SQL without a reference: the checks in Dagster are named from it, too, before anything is derived.
select
    'usage_events' as table_name,
    'cancels_nothing' as rule,
    'cancels_event_id' as column_name,
    'the event that it cancels is not known' as reason

union all

select
    'usage_events' as table_name,
    'cancels_itself' as rule,
    'cancels_event_id' as column_name,
    'it cancels itself' as reason

union all

select
    'usage_events' as table_name,
    'already_cancelled' as rule,
    'cancels_event_id' as column_name,
    'its event is cancelled already' as reason

union all

select
    'usage_events' as table_name,
    'no_subscription' as rule,
    'occurred_at' as column_name,
    'the tenant has no subscription on its day' as reason

union all

select
    'usage_events' as table_name,
    'unpriced' as rule,
    'driver_key' as column_name,
    'no price book of the tenant has a price on its day' as reason

union all

select
    'subscriptions' as table_name,
    'subscription_overlap' as rule,
    'started_on' as column_name,
    'another one, known earlier, covers some of its days' as reason

union all

select
    'subscriptions' as table_name,
    'unpriced' as rule,
    'plan' as column_name,
    'its plan has no price in its currency' as reason

union all

select
    'payments' as table_name,
    'unknown_invoice' as rule,
    'invoice_id' as column_name,
    'no invoice has its number yet' as reason

union all

select
    'payments' as table_name,
    'wrong_currency' as rule,
    'currency' as column_name,
    'its invoice is in another currency' as reason

union all

select
    'payments' as table_name,
    'excess_refund' as rule,
    'amount' as column_name,
    'it pays out more than its credit note has left' as reason

union all

select
    'price_entries' as table_name,
    'tier_gap' as rule,
    'valid_from' as column_name,
    'its set lacks a tier on some day' as reason

union all

select
    'price_entries' as table_name,
    'tier_overlap' as rule,
    'tier_up_to' as column_name,
    'two tiers of its set claim the same units' as reason

union all

select
    'price_entries' as table_name,
    'no_last_tier' as rule,
    'tier_up_to' as column_name,
    'no tier of its set is without a bound' as reason

union all

select
    'price_books' as table_name,
    'equal_priority' as rule,
    'priority' as column_name,
    'another book has the same claim to an item' as reason
