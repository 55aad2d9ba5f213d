{#- Schemas are named exactly as configured, without the prefix dbt adds for shared development databases. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
