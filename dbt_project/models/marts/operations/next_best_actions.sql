{{ publish_source('operations', 'next_best_actions') }}
