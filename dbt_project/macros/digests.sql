{#-
  Digests that tell whether rows are the same. What belongs here: hashes by which rows are compared within one warehouse.
  What does not: content_hash, which is published and the same on every engine (money.sql).
-#}

{#- A digest of the values of some columns over all rows of a group, whatever their order; NULL without rows. -#}
{% macro rows_digest(columns) %}
    {{- return(adapter.dispatch('rows_digest', 'loompin')(columns)) -}}
{% endmacro %}

{% macro default__rows_digest(columns) -%}
    {{ dbt.hash(dbt.listagg(measure=content_hash(columns), delimiter_text="','", order_by_clause='order by 1')) }}
{%- endmacro %}

{% macro duckdb__rows_digest(columns) -%}
    cast(sum(hash({{ columns | join(', ') }})) as {{ dbt.type_string() }})
{%- endmacro %}

{#- A hash of the values of some columns that is quick to count; rows that differ may share one. -#}
{% macro quick_hash(columns) %}
    {{- return(adapter.dispatch('quick_hash', 'loompin')(columns)) -}}
{% endmacro %}

{% macro default__quick_hash(columns) -%}
    {{ content_hash(columns) }}
{%- endmacro %}

{% macro duckdb__quick_hash(columns) -%}
    hash({{ columns | join(', ') }})
{%- endmacro %}
