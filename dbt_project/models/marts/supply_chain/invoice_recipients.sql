-- One row an invoice: whom it is made out to, as known when it became final. A tenant that is renamed later is not
-- renamed on old invoices, whenever their documents are made.
select
    invoices.invoice_id,
    invoices.tenant_id,
    invoices.tenant_slug,
    coalesce(tenants.name, invoices.tenant_slug) as name
from {{ ref('int_invoices') }} as invoices
left join {{ ref('stg_tenant_names') }} as tenants
    on
        invoices.tenant_id = tenants.tenant_id
        and invoices.invoice_date >= tenants.known_night
        -- not `or ... is null`: an outer join on anything but comparisons tries each pair of rows
        and invoices.invoice_date < coalesce(tenants.ended_night, cast('9999-12-31' as date))
