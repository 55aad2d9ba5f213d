with pairs as (

    select * from {{ ref('int_identity_pairs') }}
    where left_id is not null

),

records as (

    select
        tenant_id,
        source_platform,
        source_id,
        is_customer,
        customer_id
    from {{ ref('stg_identity_records') }}

),

weights as (

    select
        comparison,
        level,
        label,
        {{ agreement_weight('m', 'u') }} as weight
    from {{ ref('identity_weights') }}

)

select
    pairs.tenant_id,
    pairs.left_platform,
    pairs.left_id,
    pairs.right_platform,
    pairs.right_id,
    pairs.probability as match_probability,
    round(pairs.prior + pairs.evidence, 6) as match_weight,
    case
        when pairs.probability < {{ identity_threshold() }} then 'possible'
        when lefts.customer_id = rights.customer_id then 'confirmed'
        when lefts.customer_id <> rights.customer_id and not (lefts.is_customer and rights.is_customer) then 'conflict'
        else 'linked'
    end as status,
    pairs.prior as prior_weight,
    {%- for comparison in ['name', 'email', 'date_of_birth', 'city'] %}
        {{ comparison }}_weights.label as {{ comparison }}_agreement,
        coalesce({{ comparison }}_weights.weight, 0) as {{ comparison }}_weight,
    {%- endfor %}
    pairs.identity_model
from pairs
-- the records are there still, all of their tenant's or none
inner join records as lefts
    on
        pairs.tenant_id = lefts.tenant_id
        and pairs.left_platform = lefts.source_platform
        and pairs.left_id = lefts.source_id
inner join records as rights
    on
        pairs.tenant_id = rights.tenant_id
        and pairs.right_platform = rights.source_platform
        and pairs.right_id = rights.source_id
{%- for comparison in ['name', 'email', 'date_of_birth', 'city'] %}
    left join weights as {{ comparison }}_weights
        on
            {{ comparison }}_weights.comparison = '{{ comparison }}'
            and pairs.{{ comparison }}_level = {{ comparison }}_weights.level
{%- endfor %}
