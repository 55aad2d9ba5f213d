select
    customers.id,
    customers.tenant_id,
    customers.email,
    customers.name,
    health.health_score,
    customers.tenant_ref
from {{ ref('stg_customers') }} as customers
left join {{ ref('customer_health') }} as health on customers.id = health.customer_id
