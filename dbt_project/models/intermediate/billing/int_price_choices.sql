-- One row a tenant, currency, item and first day of need: the price set that wins there. An item is needed on each day
-- with its usage, a plan on the first day that it covers of a month, and an item with a flat fee on the last
-- subscribed day of a month, where it may be owed without usage.
with

subscribed as (

    select * from {{ ref('int_subscription_months') }}

),

sets as (

    select * from {{ ref('int_price_tiers') }}
    where tier = 1

),

items_with_flat_fee as (

    select distinct item_key
    from sets
    where
        flat_fee > 0
        and item_key not like 'plan:%'

),

assignments as (

    select
        tenant_id,
        price_book,
        valid_from,
        coalesce(valid_to, date '9999-12-31') as valid_to,
        known_close
    from {{ ref('stg_price_book_assignments') }}

),

needs as (

    select
        usage.tenant_id,
        subscribed.currency,
        usage.driver_key as item_key,
        usage.usage_date as price_date,
        min(subscribed.arrears_close) as first_close
    from {{ ref('int_usage_events_classified') }} as usage
    inner join subscribed
        on
            usage.tenant_id = subscribed.tenant_id
            and usage.usage_date >= subscribed.covered_from
            and usage.usage_date < subscribed.covered_to
    where usage.status in ('counted', 'cancelled')
    group by usage.tenant_id, subscribed.currency, usage.driver_key, usage.usage_date

    union

    select
        tenant_id,
        currency,
        item_key,
        covered_from as price_date,
        case
            when covered_from = service_month and known_close <= service_month then service_month
            else arrears_close
        end as first_close
    from subscribed

    union

    select
        subscribed.tenant_id,
        subscribed.currency,
        sets.item_key,
        cast({{ dbt.dateadd('day', -1, 'subscribed.covered_to') }} as date) as price_date,
        subscribed.arrears_close as first_close
    from subscribed
    cross join items_with_flat_fee as sets

),

first_needs as (

    select
        tenant_id,
        currency,
        item_key,
        price_date,
        min(first_close) as first_close
    from needs
    group by tenant_id, currency, item_key, price_date

),

candidates as (

    select
        needs.tenant_id,
        needs.currency,
        needs.item_key,
        needs.price_date,
        sets.price_set_id,
        sets.is_broken,
        -- The first invoice that could know this price: what is known when the month is first billable comes before
        -- all that is known later, whatever its priority.
        greatest(
            needs.first_close,
            sets.set_known_close,
            books.known_close,
            case
                when books.priority = 0 then needs.first_close
                else assignments.known_close
            end
        ) as price_close,
        books.priority,
        sets.price_book,
        sets.valid_from
    from first_needs as needs
    inner join sets
        on
            needs.item_key = sets.item_key
            and needs.price_date >= sets.valid_from
            and (sets.valid_to is null or needs.price_date < sets.valid_to)
    inner join {{ ref('stg_price_books') }} as books
        on
            sets.price_book = books.price_book
            and needs.currency = books.currency
    left join assignments
        on
            needs.tenant_id = assignments.tenant_id
            and sets.price_book = assignments.price_book
            and needs.price_date >= assignments.valid_from
            and needs.price_date < assignments.valid_to
    where books.priority = 0 or assignments.tenant_id is not null

),

ranked as (

    select
        *,
        row_number() over (
            partition by tenant_id, currency, item_key, price_date
            order by price_close asc, priority desc, price_book asc, valid_from desc
        ) as place
    from candidates

)

select
    tenant_id,
    currency,
    item_key,
    price_date,
    price_set_id,
    is_broken,
    price_close
from ranked
where place = 1
