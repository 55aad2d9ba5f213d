{#-
    The night as a date expression: `where usage_date <= {{ night() }}`.
    The only clock of the models. It reads one row that the loader wrote, so that a repeated or recomputed night gives
    the same tables, and nothing has to be parsed again.
-#}
{% macro night() -%}
    (select landed.night from {{ source('landing', 'night') }} as landed)
{%- endmacro %}
