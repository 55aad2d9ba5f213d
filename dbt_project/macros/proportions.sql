{#-
    Proportions in SQL: how sure a share is that was counted. What belongs here: intervals of x of n. What does not: tests and
    trends (statistics.sql).
-#}

{#-
    Ends of the 95 % Wilson score interval of the proportion x of n. Wilson (1927); Newcombe (1998), method 3. It never
    leaves 0 to 1 and always holds x / n. Null if x is null or n is 0.
-#}
{% macro wilson_low(x, n) -%}
    case
        when {{ n }} > 0 and {{ x }} = 0 then 0.0
        when {{ n }} > 0 then ({{ wilson_centre(x, n) }} - {{ wilson_margin(x, n) }}) / ({{ n }} + {{ z95() }} * {{ z95() }})
    end
{%- endmacro %}

{% macro wilson_high(x, n) -%}
    case
        when {{ n }} > 0 and {{ x }} = {{ n }} then 1.0
        when {{ n }} > 0 then ({{ wilson_centre(x, n) }} + {{ wilson_margin(x, n) }}) / ({{ n }} + {{ z95() }} * {{ z95() }})
    end
{%- endmacro %}

{% macro wilson_centre(x, n) -%}
    (cast({{ x }} as double precision) + {{ z95() }} * {{ z95() }} / 2)
{%- endmacro %}

{% macro wilson_margin(x, n) -%}
    {{ z95() }} * sqrt(
        cast({{ x }} as double precision) * ({{ n }} - {{ x }}) / {{ n }} + {{ z95() }} * {{ z95() }} / 4
    )
{%- endmacro %}

{#- An expression held between two bounds; null stays null, which least() and greatest() do not promise everywhere. -#}
{% macro clamped(expression, low, high) -%}
    case when {{ expression }} is not null then least(greatest({{ expression }}, {{ low }}), {{ high }}) end
{%- endmacro %}
