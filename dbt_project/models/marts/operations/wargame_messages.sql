{{ publish_source('operations', 'wargame_messages') }}
