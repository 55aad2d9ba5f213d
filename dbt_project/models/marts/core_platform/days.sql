-- A year beyond the night: plan fees are billed in advance.
{{ day_spine("cast('2000-01-01' as date)", dbt.dateadd('year', 1, night())) }}
