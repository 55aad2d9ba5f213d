-- Customers with pseudonyms for their personal data; a health score outside its scale counts as not sent.
select
    id,
    tenant_id,
    {{ pseudonym('email') }} as email,
    {{ pseudonym('name') }} as name,
    case when health_score between 0 and 100 then health_score end as platform_health_score,
    tenant_ref
from {{ source('customer_intelligence', 'customers') }}
