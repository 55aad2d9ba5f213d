{{ publish_source('strategy', 'ab_tests') }}
