{#-
    A source table as it is published: the columns of its contract in order, personal data masked.
    A mart of a source table that needs no step in SQL is one call of this macro, and nothing else reads a source from a
    mart. `texts` names columns that stand redacted in int_texts, so that no text is worked on twice: by column, what the
    texts are of there (entity_type) and the column of the source that tells which is whose (entity_id).
    `months` makes the mart anew by month alone (macros/service_months.sql): the relation of the fingerprints, and the
    expression that tells the day of a row.
-#}
{% macro publish_source(source_name, table_name, texts={}, months=none) -%}
    {%- if months -%}
        {{- config(**by_service_month(*months)) -}}
        {%- set is_made = is_to_be_made(*months) -%}
    {%- endif -%}
    {%- set redacted = ref('int_texts') if texts else none -%}
    {%- set relation = source(source_name, table_name) -%}
    {%- if not execute -%}
    {#- While parsing, the graph is empty: naming the source above is all dbt needs for the lineage. -#}
    select * from {{ relation }}
    {%- else -%}
    {%- set table = graph.sources['source.' ~ project_name ~ '.' ~ source_name ~ '.' ~ table_name] -%}
    {%- set tenant = table.config.meta.get('tenant') or 'null' %}
select
    {%- for column in table.columns.values() %}
    {% if column.name in texts -%}
        {{ column.name }}_redacted.body as {{ column.name }}
    {%- else -%}
        {{ masked(column.name, column.config.meta.get('personal'), column.data_type, tenant) }}
    {%- endif -%}
    {{ ',' if not loop.last }}
    {%- endfor %}
from {{ relation }} as landed
    {%- for column, (entity_type, entity_id) in texts.items() %}
left join (select entity_id, body from {{ redacted }} where entity_type = '{{ entity_type }}') as {{ column }}_redacted
    on landed.{{ entity_id }} = {{ column }}_redacted.entity_id
    {%- endfor %}
    {%- if months %}
where {{ is_made }}
    {%- endif %}
    {%- endif %}
{%- endmacro %}

{#- The columns of a source table, with the night since when a row is known: all that a row of it says. -#}
{% macro columns_of_source(source_name, table_name) -%}
    {{- return(_columns_of_source(source_name, table_name).values() | map(attribute='name') | list + ['_known_night']) -}}
{%- endmacro %}

{#- An expression that is 1 where a text of a source row that is published as it is may hold an e-mail address, else 0. -#}
{% macro source_may_hold_address(source_name, table_name) -%}
    case
        when false
        {%- for column in _columns_of_source(source_name, table_name).values()
            if column.data_type in ('varchar', 'json') and not column.config.meta.get('personal') %}
            or {{ may_hold_address('cast(' ~ column.name ~ ' as varchar)') }}
        {%- endfor %} then 1
        else 0
    end
{%- endmacro %}

{% macro _columns_of_source(source_name, table_name) -%}
    {#- While parsing, the graph is empty. -#}
    {{- return(
        graph.sources['source.' ~ project_name ~ '.' ~ source_name ~ '.' ~ table_name].columns if execute else {}
    ) -}}
{%- endmacro %}
