{#- A row of a source table as JSON text, as it stands in the quarantine: the columns that a file may bring, and the
   tenant as it was received. `alias` is that of a relation with these columns; `renamed` maps those it calls otherwise.
   JSON costs more than a join: make it of the few rows that need it. -#}
{% macro row_json(source_name, table_name, alias=none, renamed={}) -%}
    {%- set values = {} -%}
    {%- if execute -%}
        {%- set table = graph.sources['source.' ~ project_name ~ '.' ~ source_name ~ '.' ~ table_name] -%}
        {%- for column in table.columns.values() -%}
            {%- if column.config.meta.get('origin') != 'derived' or column.name == 'tenant_ref' -%}
                {%- set value = renamed.get(column.name, column.name) -%}
                {%- do values.update({column.name: alias ~ '.' ~ value if alias else value}) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ adapter.dispatch('json_of', 'loompin')(values) }}
{%- endmacro %}

{% macro default__json_of(values) -%}
    json_object({% for key, value in values.items() %}'{{ key }}' value {{ value }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}

{% macro duckdb__json_of(values) -%}
    cast(
        json_object({% for key, value in values.items() %}'{{ key }}', {{ value }}{{ ', ' if not loop.last }}{% endfor %})
        as varchar
    )
{%- endmacro %}

{#- A value of a row as JSON text, as it was received, in a type; null if it is not there or does not fit. -#}
{% macro json_value(row_json, column_name, data_type) -%}
    {{ return(adapter.dispatch('json_value_of', 'loompin')(row_json, column_name, data_type)) }}
{%- endmacro %}

{% macro default__json_value_of(row_json, column_name, data_type) -%}
    cast(json_value({{ row_json }}, '$.{{ column_name }}' null on error) as {{ data_type }})
{%- endmacro %}

{% macro duckdb__json_value_of(row_json, column_name, data_type) -%}
    try_cast(json_extract_string({{ row_json }}, '$.{{ column_name }}') as {{ data_type }})
{%- endmacro %}
