{{ publish_source('operations', 'outcome_ledger') }}
