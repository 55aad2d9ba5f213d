{#-
    Evidence: what a published figure is made of, in rows that add up to it. What belongs here: how parts are made to add up,
    and how a row tells of several things at once. What does not: what the parts of a figure are (the marts *_evidence).
-#}

{#-
    One row's part of a figure, a DECIMAL with 12 decimals: the parts of the rows of a group add up to the figure exactly.
    They are differences of rounded running sums, so that no part is more than 1e-12 off, and the last row brings what
    is left. Arguments: the part before rounding, the figure (the same in all rows of the group), the expressions that
    make a group, the column that orders its rows. Rows without a part need a group of their own.
-#}
{% macro exact_part(part, figure, keys, order_by) -%}
    {%- set group = 'partition by ' ~ keys | join(', ') -%}
    {%- set summed = 'sum(cast(' ~ part ~ ' as decimal(38, 18))) over (' ~ group ~ ' order by ' ~ order_by -%}
    case
        when row_number() over ({{ group }} order by {{ order_by }}) = count(*) over ({{ group }})
            then cast({{ figure }} as decimal(38, 12))
        else cast({{ summed }} rows between unbounded preceding and current row) as decimal(38, 12))
    end
    - cast(coalesce({{ summed }} rows between unbounded preceding and 1 preceding), 0) as decimal(38, 12))
{%- endmacro %}

{#- An aggregate: a JSON array with one object a row. Arguments: the fields by name, as SQL, and the order of the rows. -#}
{% macro json_rows(fields, order_by) -%}
    {{ return(adapter.dispatch('json_rows', 'loompin')(fields, order_by)) }}
{%- endmacro %}

{% macro default__json_rows(fields, order_by) -%}
    json_arrayagg(
        json_object({% for key, value in fields.items() %}'{{ key }}' value {{ value }}{{ ', ' if not loop.last }}{% endfor %})
        order by {{ order_by }}
    )
{%- endmacro %}

{% macro duckdb__json_rows(fields, order_by) -%}
    to_json(list(
        struct_pack({% for key, value in fields.items() %}{{ key }} := {{ value }}{{ ', ' if not loop.last }}{% endfor %})
        order by {{ order_by }}
    ))
{%- endmacro %}

{#- The words of a text between two offsets, in characters: those before the first word, and those up to the last one's end. -#}
{% macro words_at(text, match_start, match_end) -%}
    substring({{ text }}, cast({{ match_start }} + 1 as integer), cast({{ match_end }} - {{ match_start }} as integer))
{%- endmacro %}
