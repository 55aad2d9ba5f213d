{#-
    The digest of a set of ledger entries, as text. What belongs here: what loompin/finals.py keeps of a night and a law
    compares. What does not: what an entry is (marts/supply_chain/ledger_entries).
-#}

{#- Tells sets of entries apart, whatever their order, as an aggregate. -#}
{% macro ledger_digest() -%}
    {{ return(adapter.dispatch('ledger_digest', 'loompin')()) }}
{%- endmacro %}

{#- An engine without whole numbers of a hash tells amounts and counts apart, no more. -#}
{% macro default__ledger_digest() -%}
    cast(sum(debit) as {{ dbt.type_string() }}) || '|' || cast(sum(credit) as {{ dbt.type_string() }})
{%- endmacro %}

{% macro duckdb__ledger_digest() -%}
    cast(
        coalesce(
            sum(
                cast(
                    md5_number_lower(
                        entry_id || '|' || account || '|' || cast(debit as varchar) || '|' || cast(credit as varchar)
                    ) as hugeint
                )
            ),
            0
        ) as varchar
    )
{%- endmacro %}
