{#- A query with one row a month, `month` (its first day), from the month of one date expression to that of another. -#}
{% macro month_spine(first_day, last_day) -%}
    {{ return(adapter.dispatch('month_spine', 'loompin')(first_day, last_day)) }}
{%- endmacro %}

{% macro default__month_spine(first_day, last_day) -%}
    select cast(month_start as date) as month
    from generate_series(
        cast(date_trunc('month', {{ first_day }}) as timestamp),
        cast(date_trunc('month', {{ last_day }}) as timestamp),
        interval 1 month
    ) as months (month_start)
{%- endmacro %}
