{#-
    Linking records of people. What belongs here: how SQL calls `loompin.linkage`, and what its figures mean. What does not:
    how records are compared (loompin.linkage) and with which weights (the seed identity_weights).
-#}

{#- Which model linked records: part of what is kept with a pair, so that a new model compares every record anew. -#}
{% macro identity_model() -%}
    'fellegi-sunter 1'
{%- endmacro %}

{#- The match probability from which on two records are linked. -#}
{% macro identity_threshold() -%}
    0.9
{%- endmacro %}

{#- The platform that customers are records of. -#}
{% macro own_platform() -%}
    'Loompin'
{%- endmacro %}

{#-
    The pairs of records that are more probably one person than not, an array of structs: `loompin.linkage.pairs`. Arguments:
    a relation with one row a record (number, tenant_id, name, email, date_of_birth, city), a relation of weights
    (comparison, level, m, u).
-#}
{% macro identity_pairs(records, weights) -%}
    {{ return(adapter.dispatch('identity_pairs', 'loompin')(records, weights)) }}
{%- endmacro %}

{% macro default__identity_pairs(records, weights) -%}
    identity_pairs(
        (
            select array_agg(struct_pack(
                number := cast(number as bigint), tenant_id := tenant_id, name := name, email := email,
                date_of_birth := cast(date_of_birth as date), city := city
            ))
            from {{ records }}
        ),
        (
            select array_agg(struct_pack(comparison := comparison, level := level, m := m, u := u))
            from {{ weights }}
        )
    )
{%- endmacro %}

{#-
    The clusters that links make, an array of structs: `loompin.linkage.clusters`. Argument: a relation with one row a link
    (left_number, right_number, probability).
-#}
{% macro identity_clusters(links) -%}
    {{ return(adapter.dispatch('identity_clusters', 'loompin')(links)) }}
{%- endmacro %}

{% macro default__identity_clusters(links) -%}
    identity_clusters((
        select array_agg(struct_pack(
            left_number := cast(left_number as bigint), right_number := cast(right_number as bigint),
            probability := cast(probability as double)
        ))
        from {{ links }}
    ))
{%- endmacro %}

{#- What a level of agreement says for two records being one person, in bits: log2(m / u); 0 where a value is missing. -#}
{% macro agreement_weight(m, u) -%}
    coalesce(round(ln({{ m }} / {{ u }}) / ln(2), 6), 0)
{%- endmacro %}
