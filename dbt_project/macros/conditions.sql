{#-
    Rules of the platform that stand in its data as text, read as figures. What belongs here: the forms that are understood.
    What does not: what is held against them (the mart contradictions). A text of another form gives NULL; none is ever run.
-#}

{#- Part 1 (measure), 2 (operator) or 3 (number) of a condition such as `health < 30`; null if it has another form. -#}
{% macro condition_part(expression, part) -%}
    {{ return(adapter.dispatch('condition_part', 'loompin')(expression, part)) }}
{%- endmacro %}

{% macro default__condition_part(expression, part) -%}
    nullif(
        regexp_extract({{ expression }}, '^ *([a-z_]+) *(<=|>=|==|<|>) *(-?[0-9]+(?:[.][0-9]+)?) *$', {{ part }}), ''
    )
{%- endmacro %}

{#- The amount of a policy such as `max_spend($50/day)`; null if it has another form. -#}
{% macro daily_budget(expression) -%}
    {{ return(adapter.dispatch('daily_budget', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__daily_budget(expression) -%}
    nullif(regexp_extract({{ expression }}, '^ *max_spend[(][$]([0-9]{1,12}(?:[.][0-9]+)?)/day[)] *$', 1), '')
{%- endmacro %}

{#- A number as a person writes it: two decimals at most, and none that is 0 anyway. -#}
{% macro plain_number(expression) -%}
    case
        when abs({{ expression }}) < 1000000000000000
            then rtrim(rtrim(cast(cast({{ expression }} as decimal(38, 2)) as {{ dbt.type_string() }}), '0'), '.')
        else cast({{ expression }} as {{ dbt.type_string() }})
    end
{%- endmacro %}

{#- The values of a row's key, in order, as one text. -#}
{% macro row_name(columns) -%}
    {%- for column in columns -%}
        coalesce(cast({{ column }} as {{ dbt.type_string() }}), '-'){{ " || ' ' || " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
