{#-
    A figure as points from 0 (worst or beyond) to 100 (best or beyond); best may be below worst. Null if the figure is, or if
    worst and best are the same.
-#}
{% macro scaled_score(value, worst, best) -%}
    case
        when {{ value }} is not null and {{ best }} <> {{ worst }}
            then 100 * least(greatest(({{ value }} - {{ worst }}) / ({{ best }} - {{ worst }}), 0), 1)
    end
{%- endmacro %}
