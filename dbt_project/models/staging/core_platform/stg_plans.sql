-- Plans with their monthly price in US dollars: what a plan costs where no price book prices it.
select
    name as plan,
    price_monthly,
    {{ closing_of('_known_night') }} as known_close
from {{ source('core_platform', 'plans') }}
