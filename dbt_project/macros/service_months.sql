{#-
  Service months made anew only when what they are made of changed. Such a model names a relation of fingerprints
  (service_month, fingerprint), makes the months whose fingerprint is not the one it last made them under, and keeps the
  others; whatever it held before, it holds the same afterwards. Under which fingerprints a model made its months stands
  in kept.made_months, which the loader empties when the code changes; under which they passed their tests, in
  kept.tested_months, which publishing writes. Months of feedback are made likewise: their service_month is that in which
  it was given. What does not belong here: what a fingerprint says (the loader's service_months.py, int_priced_months,
  int_text_months and the like).
-#}

{#-
  The configuration of such a model: the relation of its fingerprints, and the column (or expression without quotes) that
  tells the month of a row. Rows without a month are made anew each night.
-#}
{% macro by_service_month(fingerprints, day='service_month') %}
    {{- return({
        'materialized': 'incremental',
        'incremental_strategy': 'append',
        'on_schema_change': 'append_new_columns',
        'pre_hook': "{{ forget_changed_months('" ~ fingerprints ~ "', '" ~ day ~ "') }}",
        'post_hook': "{{ remember_months('" ~ fingerprints ~ "') }}",
    }) -}}
{% endmacro %}

{#- A query of the months that the model has as they are now. -#}
{% macro months_as_before(fingerprints) -%}
    select made.service_month from kept.made_months as made
    inner join {{ ref(fingerprints) }} as told
        on made.service_month = told.service_month and made.fingerprint = told.fingerprint
    where made.relation = '{{ this.identifier }}'
{%- endmacro %}

{#- Remove the months that are to be made anew, or are no more. -#}
{% macro forget_changed_months(fingerprints, day) -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where
        coalesce(
            {{ day if day == 'service_month' else month_of(day) }} not in ({{ months_as_before(fingerprints) }}), true
        )
    {%- endif -%}
{%- endmacro %}

{#- Note under which fingerprints the model has its months. -#}
{% macro remember_months(fingerprints) -%}
    delete from kept.made_months where relation = '{{ this.identifier }}';
    insert into kept.made_months
    select '{{ this.identifier }}', service_month, fingerprint from {{ ref(fingerprints) }}
{%- endmacro %}

{#-
  A query of the months that a model keeps as they were when its tests passed: service_month. A test need not look at
  them again.
-#}
{% macro tested_months(relation) -%}
    select made.service_month from kept.made_months as made
    inner join kept.tested_months as tested
        on
            made.relation = tested.relation
            and made.service_month = tested.service_month
            and made.fingerprint = tested.fingerprint
    where made.relation = '{{ relation }}'
{%- endmacro %}

{#- A query of the months that the model makes: service_month. -#}
{% macro months_to_make(fingerprints) -%}
    select service_month
    from {{ ref(fingerprints) }}
    {%- if is_incremental() %}
    where service_month not in ({{ months_as_before(fingerprints) }})
    {%- endif %}
{%- endmacro %}

{#- Whether a day belongs to a month: it is known, and no calendar is needed to say that it is no day at all. -#}
{% macro has_month(day) -%}
    {{ day }} >= cast('0001-01-01' as date) and {{ day }} < cast('9999-01-01' as date)
{%- endmacro %}

{#-
  Whether a row is one that the model makes: its month is to be made, or it has none. The months are asked for before the
  query, so that other rows are left out where they are read.
-#}
{% macro is_to_be_made(fingerprints, day) -%}
    {%- set wanted = months_to_make(fingerprints) -%}
    {%- if execute and is_incremental() -%}
        {%- set months = run_query(wanted).columns[0].values() -%}
        (
            coalesce(not ({{ has_month(day) }}), true)
            {%- if months | length > 12 %}
            or {{ month_of(day) }} in ({{ wanted }})
            {%- else %}
            {%- for month in months %}
            or ({{ day }} >= cast('{{ month }}' as date) and {{ day }} < {{ next_month_of("cast('" ~ month ~ "' as date)") }})
            {%- endfor %}
            {%- endif %}
        )
    {%- else -%}
        1 = 1
    {%- endif -%}
{%- endmacro %}
