{#-
    Masking of personal data (DESIGN: personal data never reaches what is published).
    The functions live in loompin/privacy.py and are registered on the connection by loompin/dbt_plugin.py; on another
    engine, dispatch to a function of that engine here.

    Arguments are SQL expressions given as strings. A tenant expression of 'null' means that the tenant is not known:
    then the names known in any tenant are redacted.
-#}

{#- A keyed pseudonym: equal inputs are equal everywhere, whatever column they stand in; null stays null. -#}
{% macro pseudonym(expression) -%}
    {{ return(adapter.dispatch('pseudonym', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__pseudonym(expression) -%}
    pseudonym(cast({{ expression }} as varchar))
{%- endmacro %}

{#- Free text without e-mail addresses, phone numbers, IPs, handles and names known in the tenant. -#}
{% macro redact(expression, tenant='null') -%}
    {{ return(adapter.dispatch('redact', 'loompin')(expression, tenant)) }}
{%- endmacro %}

{% macro default__redact(expression, tenant) -%}
    {#- Most rows of a large table may have no text: they need not be handed to Python. -#}
    case
        when {{ expression }} is not null then redact(cast({{ expression }} as varchar), cast({{ tenant }} as varchar))
    end
{%- endmacro %}

{#- Of a step of a query whose expressions are dear: they are computed once, however often the steps after it name them. -#}
{% macro computed_once() -%}
    {{ return(adapter.dispatch('computed_once', 'loompin')()) }}
{%- endmacro %}

{% macro default__computed_once() -%}
    materialized
{%- endmacro %}

{#- JSON whose strings (keys too) are redacted like free text; it stays valid JSON. -#}
{% macro redact_json(expression, tenant='null') -%}
    {{ return(adapter.dispatch('redact_json', 'loompin')(expression, tenant)) }}
{%- endmacro %}

{% macro default__redact_json(expression, tenant) -%}
    cast(redact_json(cast({{ expression }} as varchar), cast({{ tenant }} as varchar)) as json)
{%- endmacro %}

{#-
    A text that should hold no personal data, guarded: if it is an e-mail address after all it becomes the pseudonym that
    the address has elsewhere, if it holds one it is redacted. Looking costs little; only such rows are worked on.
-#}
{% macro guarded(expression, data_type, tenant='null') -%}
    {{ return(adapter.dispatch('guarded', 'loompin')(expression, data_type, tenant)) }}
{%- endmacro %}

{% macro default__guarded(expression, data_type, tenant) -%}
    {%- if data_type == 'json' -%}
        case
            when {{ may_hold_address('cast(' ~ expression ~ ' as varchar)') }}
                then {{ redact_json(expression, tenant) }}
            else {{ expression }}
        end
    {%- else -%}
        case
            when {{ may_hold_address(expression) }} then
                case
                    when regexp_full_match({{ expression }}, '[\w.+-]+@[\w.-]+') then {{ pseudonym(expression) }}
                    else {{ redact(expression, tenant) }}
                end
            else {{ expression }}
        end
    {%- endif -%}
{%- endmacro %}

{#- An id as it may be published: a pseudonym if it holds an e-mail address, so that it still tells rows apart. -#}
{% macro guarded_id(expression) -%}
    {{ return(adapter.dispatch('guarded_id', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__guarded_id(expression) -%}
    case
        when {{ may_hold_address(expression) }} then {{ pseudonym(expression) }}
        else {{ expression }}
    end
{%- endmacro %}

{#- Whether a text may hold an e-mail address: most hold no @, which is told sooner. -#}
{% macro may_hold_address(expression) -%}
    {{ expression }} like '%@%' and regexp_matches({{ expression }}, '[\w.+-]@[\w-]+[.]\w')
{%- endmacro %}

{#- The select item for one column of a contract: masked by its personal-data class, else as it is. -#}
{% macro masked(column_name, personal, data_type, tenant='null') -%}
    {%- if not personal and data_type in ('varchar', 'json') -%}
        {{ guarded(column_name, data_type, tenant) }} as {{ column_name }}
    {%- elif not personal -%}
        {{ column_name }}
    {%- elif personal in ('email', 'name', 'ip', 'token') -%}
        {{ pseudonym(column_name) }} as {{ column_name }}
    {%- elif personal in ('free_text', 'json') and data_type == 'json' -%}
        {{ redact_json(column_name, tenant) }} as {{ column_name }}
    {%- elif personal in ('free_text', 'json') -%}
        {{ redact(column_name, tenant) }} as {{ column_name }}
    {%- else -%}
        {{ exceptions.raise_compiler_error("column " ~ column_name ~ " has the unknown personal-data class " ~ personal) }}
    {%- endif -%}
{%- endmacro %}

{#- What masking depends on besides what it masks, as a digest: the key and the names that are redacted. -#}
{% macro masking_digest() -%}
    {{ return(adapter.dispatch('masking_digest', 'loompin')()) }}
{%- endmacro %}

{% macro default__masking_digest() -%}
    masking_digest()
{%- endmacro %}
