-- One row a tenant, currency, service month and invoice date from which its prices count: the tenants with the same
-- `profile_id` may use the same assigned books on the same days, as known on the same dates, so that prices are chosen
-- once for all of them. Plans are told from usage: their fees are billed a month before.
with

needs as (

    select distinct
        tenant_id,
        false as is_plan,
        currency,
        service_month,
        first_close
    from {{ ref('int_subscribed_days') }}

    union all

    select distinct
        tenant_id,
        true as is_plan,
        currency,
        service_month,
        first_fee_close as first_close
    from {{ ref('int_subscription_months') }}
    where first_fee_close is not null

),

assigned as (

    select
        needs.tenant_id,
        needs.is_plan,
        needs.currency,
        needs.service_month,
        needs.first_close,
        {{ content_hash([
            'assignments.price_book',
            'greatest(assignments.valid_from, needs.service_month)',
            'least(assignments.valid_to, ' ~ next_month_of('needs.service_month') ~ ')',
            'greatest(assignments.known_close, needs.first_close)',
            'assignments.ended_close',
        ]) }} as assignment_hash
    from needs
    inner join {{ ref('stg_price_book_assignments') }} as assignments
        on
            needs.tenant_id = assignments.tenant_id
            and assignments.valid_from < {{ next_month_of('needs.service_month') }}
            and needs.service_month < assignments.valid_to
            and needs.first_close < assignments.ended_close

),

profiles as (

    select
        tenant_id,
        is_plan,
        currency,
        service_month,
        first_close,
        {{ dbt.hash(dbt.listagg('assignment_hash', "','", 'order by assignment_hash')) }} as profile_id
    from assigned
    group by tenant_id, is_plan, currency, service_month, first_close

)

select
    needs.tenant_id,
    needs.is_plan,
    needs.currency,
    needs.service_month,
    needs.first_close,
    coalesce(profiles.profile_id, 'none') as profile_id
from needs
left join profiles
    on
        needs.tenant_id = profiles.tenant_id
        and needs.is_plan = profiles.is_plan
        and needs.currency = profiles.currency
        and needs.service_month = profiles.service_month
        and needs.first_close = profiles.first_close
