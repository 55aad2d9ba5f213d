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

{#- The measure of the executive view that a figure of the mart rollups is; null if it is none. -#}
{% macro executive_measure_of(figure) -%}
    case {{ figure }}
        when 'error_rate' then 'database_error_rate'
        when 'avg_latency' then 'database_latency_ms'
        when 'csat' then 'agent_csat'
        when 'avg_handle_time' then 'handle_time_ms'
        when 'avg_rating' then 'app_rating'
        when 'crash_free_rate' then 'app_crash_free_rate'
    end
{%- endmacro %}
