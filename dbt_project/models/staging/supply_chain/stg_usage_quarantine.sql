-- Usage events that the loader holds back, with the rule that says so: the first by name if a row breaks several.
with

broken as (

    select
        rule,
        row_json,
        row_number() over (partition by source_file, source_line order by rule) as place
    from {{ source('landing', 'quarantine') }}
    where table_name = 'usage_events'

)

select
    rule,
    row_json
from broken
where place = 1
