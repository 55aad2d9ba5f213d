{#-
    A source table as it is published: the columns of its contract in order, personal data masked.
    A mart of a source table that needs no step in SQL is one call of this macro, and nothing else reads a source from a
    mart.
-#}
{% macro publish_source(source_name, table_name) -%}
    {%- set relation = source(source_name, table_name) -%}
    {%- if not execute -%}
    {#- While parsing, the graph is empty: naming the source above is all dbt needs for the lineage. -#}
    select * from {{ relation }}
    {%- else -%}
    {%- set table = graph.sources['source.' ~ project_name ~ '.' ~ source_name ~ '.' ~ table_name] -%}
    {%- set tenant = table.config.meta.get('tenant') or 'null' %}
select
    {%- for column in table.columns.values() %}
    {{ masked(column.name, column.config.meta.get('personal'), column.data_type, tenant) }}{{ ',' if not loop.last }}
    {%- endfor %}
from {{ relation }}
    {%- endif %}
{%- endmacro %}
