-- One row a month of feedback, with a fingerprint of it and of who belonged to which segment when.
with members as (

    select {{ rows_digest(['segment_id', 'customer_id', 'valid_from', 'valid_to']) }} as digest
    from {{ ref('stg_segment_members') }}

)

select
    feedback.service_month,
    feedback.fingerprint || ' ' || coalesce(members.digest, '') as fingerprint
from {{ ref('int_feedback_months') }} as feedback
cross join members
