-- One row a month of survey responses, with a fingerprint of them and of the topics that they touch.
with topics as (

    select
        {{ month_of('submitted_on') }} as service_month,
        {{ rows_digest(['response_id', 'topic_id']) }} as digest
    from {{ ref('int_response_topics') }}
    group by {{ month_of('submitted_on') }}

)

select
    responses.service_month,
    responses.fingerprint || ' ' || coalesce(topics.digest, '') as fingerprint
from {{ ref('int_response_months') }} as responses
left join topics on responses.service_month = topics.service_month
