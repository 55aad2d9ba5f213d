{#- No two rows share the key: each violation is one key with its count. Null is a value of the key here. Hashes are
   counted first: they tell sooner that no key repeats. -#}
{% test unique_key(model, columns) %}
with

repeated as (

    select {{ quick_hash(columns) }} as key_hash
    from {{ model }}
    group by {{ quick_hash(columns) }}
    having count(*) > 1

)

select
    {{ columns | join(', ') }},
    count(*) as copies
from {{ model }}
where {{ quick_hash(columns) }} in (select repeated.key_hash from repeated)
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
