{#-
  Money: exact arithmetic on DECIMAL, rounded once a line. What belongs here: the only rounding, the only division and
  the calendar of invoice dates. What does not: prices, tiers and anything else that is a rule of billing
  (models/intermediate/billing).
-#}

{#- amount x num / den as decimal(38,12), cut (not rounded) after the 12th decimal: a cut never crosses the half at
   which round_money turns, a rounding would. amount, num and den have at most 6 decimals; den is not 0. -#}
{% macro money_ratio(amount, num, den) %}
    {{- return(adapter.dispatch('money_ratio', 'loompin')(amount, num, den)) -}}
{% endmacro %}

{% macro default__money_ratio(amount, num, den) -%}
    cast(trunc(cast(({{ amount }}) as numeric(38, 6)) * ({{ num }}) / ({{ den }}), 12) as numeric(38, 12))
{%- endmacro %}

{#- DuckDB's / of two DECIMAL is a DOUBLE, so the division is one of whole numbers. -#}
{% macro duckdb__money_ratio(amount, num, den) -%}
    cast(
        cast(
            divide(
                {{ scaled_integer(amount) }} * {{ scaled_integer(num) }} * cast(1000000 as hugeint),
                {{ scaled_integer(den) }}
            ) as decimal(38, 0)
        ) * cast(0.000000000001 as decimal(13, 12)) as decimal(38, 12)
    )
{%- endmacro %}

{#- A number with at most 6 decimals as a whole number of millionths. -#}
{% macro scaled_integer(number) -%}
    cast(cast(({{ number }}) as decimal(38, 6)) * 1000000 as hugeint)
{%- endmacro %}

{#- How many packages of `size` hold `units`, the last one begun counted whole. Both have at most 6 decimals. -#}
{% macro package_count(units, size) -%}
    (
        cast({{ money_ratio('(' ~ units ~ ') - ((' ~ units ~ ') % (' ~ size ~ '))', 1, size) }} as decimal(38, 0))
        + case when (({{ units }}) % ({{ size }})) > 0 then 1 else 0 end
    )
{%- endmacro %}

{#- An amount rounded half away from zero to the decimals of its currency (ISO 4217: USD and EUR 2, JPY 0), as
   decimal(18,2). -#}
{% macro round_money(amount, currency) -%}
    case
        when {{ currency }} in ({{ "'" ~ zero_decimal_currencies() | join("', '") ~ "'" }})
            then cast(round(cast({{ amount }} as decimal(38, 12)), 0) as decimal(18, 2))
        else cast(round(cast({{ amount }} as decimal(38, 12)), 2) as decimal(18, 2))
    end
{%- endmacro %}

{#- ISO 4217 currencies whose minor unit is the unit itself. -#}
{% macro zero_decimal_currencies() %}
    {{- return([
        'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF',
        'XPF',
    ]) -}}
{% endmacro %}

{#- The first day of a date's month. -#}
{% macro month_of(day) -%}
    cast({{ dbt.date_trunc('month', day) }} as date)
{%- endmacro %}

{#- The first day of the month after a date's month. -#}
{% macro next_month_of(day) -%}
    cast({{ dbt.dateadd('month', 1, dbt.date_trunc('month', day)) }} as date)
{%- endmacro %}

{#- The first invoice date that can take into account what became known on a night: that night if it is the first of a
   month, else the first of the next month. -#}
{% macro closing_of(known_night) -%}
    case
        when {{ month_of(known_night) }} = cast({{ known_night }} as date) then cast({{ known_night }} as date)
        else {{ next_month_of(known_night) }}
    end
{%- endmacro %}

{#- The first invoice date that no longer counts what ended on a night; the end of time if it has not ended. -#}
{% macro closing_of_end(ended_night) -%}
    coalesce({{ closing_of(ended_night) }}, date '9999-12-31')
{%- endmacro %}

{#- The invoice date after the night: that of the drafts. -#}
{% macro draft_date() -%}
    {{ next_month_of(night()) }}
{%- endmacro %}

{#- INV-24-001 from 1: the prefix and a number of at least three digits. -#}
{% macro document_number(prefix, number) -%}
    {{ dbt.string_literal(dbt.escape_single_quotes(prefix)) }} || case
        when {{ number }} < 10 then '00'
        when {{ number }} < 100 then '0'
        else ''
    end || cast({{ number }} as {{ dbt.type_string() }})
{%- endmacro %}

{#- md5 over the values of columns: equal hashes mean that two rows say the same. -#}
{% macro content_hash(columns) -%}
    {%- set parts = [] -%}
    {%- for column in columns -%}
        {%- do parts.append("coalesce(cast(" ~ column ~ " as " ~ dbt.type_string() ~ "), '')") -%}
    {%- endfor -%}
    {{ dbt.hash(parts | join(" || '|' || ")) }}
{%- endmacro %}

{#- An exact amount as text without the zeros at its end: 62.5, not 62.500000000000. -#}
{% macro amount_text(amount) -%}
    rtrim(rtrim(cast(cast({{ amount }} as decimal(38, 12)) as {{ dbt.type_string() }}), '0'), '.')
{%- endmacro %}
