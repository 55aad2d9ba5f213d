{#- No two rows share the key: each violation is one key with its count. Null is a value of the key here. Hashes are
   counted first: they tell sooner that no key repeats. `month` is the column that tells the month of a row of a model
   that is made by service month, if the key tells it too: then months that it keeps as they were tested are left
   out. -#}
{% test unique_key(model, columns, month=none) %}
{%- set only %}
    {%- if month %}
    {{ month if month == 'service_month' else month_of(month) }} not in ({{ tested_months(model.identifier) }})
    {%- else %}
    true
    {%- endif %}
{%- endset %}
with

repeated as (

    select {{ quick_hash(columns) }} as key_hash
    from {{ model }}
    where {{ only }}
    group by {{ quick_hash(columns) }}
    having count(*) > 1

)

select
    {{ columns | join(', ') }},
    count(*) as copies
from {{ model }}
where
    {{ only }}
    and {{ quick_hash(columns) }} in (select repeated.key_hash from repeated)
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
