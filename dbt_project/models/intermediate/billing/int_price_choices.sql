-- One row a profile of tenants, currency, service month, first invoice date, item and run of days on which a book has a
-- set for the item: the set that wins there, and the invoice date from which it counts. That is the first date on which
-- the month could be billed, else the first later one on which the set that wins is whole.
with

profiles as (

    select
        profile_id,
        is_plan,
        currency,
        service_month,
        first_close,
        min(tenant_id) as any_tenant_id
    from {{ ref('int_price_profiles') }}
    group by profile_id, is_plan, currency, service_month, first_close

),

-- Where a set may win: days of the month, and invoice dates.
open_fields as (

    select
        profiles.profile_id,
        profiles.is_plan,
        profiles.currency,
        profiles.service_month,
        profiles.first_close,
        offers.item_key,
        offers.price_set_id,
        offers.is_broken,
        offers.broken_reason,
        offers.is_fallback,
        offers.priority,
        offers.price_book,
        offers.valid_from,
        greatest(offers.valid_from, profiles.service_month) as day_from,
        least(offers.valid_to, {{ next_month_of('profiles.service_month') }}) as day_to,
        greatest(offers.offered_from, profiles.first_close) as close_from,
        offers.offered_to as close_to
    from profiles
    inner join {{ ref('int_price_offers') }} as offers
        on
            profiles.is_plan = offers.is_plan
            and profiles.currency = offers.currency
            and profiles.first_close < offers.offered_to
            and offers.valid_from < {{ next_month_of('profiles.service_month') }}
            and profiles.service_month < offers.valid_to
    where offers.priority = 0

),

assigned_fields as (

    select
        profiles.profile_id,
        profiles.is_plan,
        profiles.currency,
        profiles.service_month,
        profiles.first_close,
        offers.item_key,
        offers.price_set_id,
        offers.is_broken,
        offers.broken_reason,
        offers.is_fallback,
        offers.priority,
        offers.price_book,
        offers.valid_from,
        greatest(offers.valid_from, assignments.valid_from, profiles.service_month) as day_from,
        least(offers.valid_to, assignments.valid_to, {{ next_month_of('profiles.service_month') }}) as day_to,
        greatest(offers.offered_from, assignments.known_close, profiles.first_close) as close_from,
        least(offers.offered_to, assignments.ended_close) as close_to
    from profiles
    inner join {{ ref('stg_price_book_assignments') }} as assignments
        on
            profiles.any_tenant_id = assignments.tenant_id
            and assignments.valid_from < {{ next_month_of('profiles.service_month') }}
            and profiles.service_month < assignments.valid_to
            and profiles.first_close < assignments.ended_close
    inner join {{ ref('int_price_offers') }} as offers
        on
            assignments.price_book = offers.price_book
            and profiles.is_plan = offers.is_plan
            and profiles.currency = offers.currency
            and profiles.first_close < offers.offered_to
            and offers.valid_from < {{ next_month_of('profiles.service_month') }}
            and profiles.service_month < offers.valid_to
    where
        offers.priority <> 0
        and profiles.profile_id <> 'none'

),

fields as (

    select
        *,
        {{ content_hash(['profile_id', 'is_plan', 'currency', 'service_month', 'first_close', 'item_key']) }}
            as need_id
    from (
        select * from open_fields
        union all
        select * from assigned_fields
    ) as found
    where
        day_from < day_to
        and close_from < close_to

),

days as (

    select
        need_id,
        day_from as day
    from fields

    union

    select
        need_id,
        day_to as day
    from fields

),

runs as (

    select
        need_id,
        day as day_from,
        lead(day) over (partition by need_id order by day) as day_to
    from days

),

closes as (

    select
        need_id,
        close_from as close
    from fields

    union

    select
        need_id,
        close_to as close
    from fields

),

placed as (

    select
        fields.need_id,
        fields.profile_id,
        fields.is_plan,
        fields.currency,
        fields.service_month,
        fields.first_close,
        fields.item_key,
        fields.price_set_id,
        fields.is_broken,
        fields.broken_reason,
        runs.day_from,
        runs.day_to,
        closes.close,
        row_number() over (
            partition by fields.need_id, runs.day_from, closes.close
            order by
                fields.is_fallback asc, fields.priority desc, fields.price_book asc, fields.valid_from desc,
                fields.close_from desc, fields.price_set_id asc
        ) as place
    from fields
    inner join runs
        on
            fields.need_id = runs.need_id
            and fields.day_from <= runs.day_from
            and fields.day_to > runs.day_from
    inner join closes
        on
            fields.need_id = closes.need_id
            and fields.close_from <= closes.close
            and fields.close_to > closes.close
    where runs.day_to is not null

),

-- The set that wins on the first date on which it is whole; where none is, the last that wins is told.
firsts as (

    select
        *,
        row_number() over (
            partition by need_id, day_from
            order by
                case when is_broken then 1 else 0 end asc,
                case when is_broken then null else close end asc,
                close desc
        ) as turn
    from placed
    where place = 1

)

select
    profile_id,
    is_plan,
    currency,
    service_month,
    first_close,
    item_key,
    day_from,
    day_to,
    price_set_id,
    is_broken,
    broken_reason,
    close as price_close
from firsts
where turn = 1
