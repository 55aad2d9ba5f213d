-- Law 8: in the ledger debits equal credits, by transaction, invoice and currency; what is receivable of an invoice is
-- its balance, and what is owed in a credit note is what is left of it.
with

transactions as (

    select
        transaction_id,
        invoice_id,
        currency,
        sum(debit) as debits,
        sum(credit) as credits,
        min(debit) as lowest_debit,
        min(credit) as lowest_credit,
        min(debit + credit) as lowest_entry,
        max(least(debit, credit)) as two_sided,
        min(night) as first_night,
        max(night) as last_night
    from {{ ref('ledger_entries') }}
    group by transaction_id, invoice_id, currency

),

accounts as (

    select
        case when account = 'receivable' then invoice_id else credit_note_id end as owed_by,
        account,
        currency,
        sum(debit - credit) as amount
    from {{ ref('ledger_entries') }}
    where account in ('receivable', 'credit')
    group by case when account = 'receivable' then invoice_id else credit_note_id end, account, currency

),

documents as (

    select
        id,
        'receivable' as account,
        currency,
        balance as amount
    from {{ ref('invoices') }}

    union all

    select
        id,
        'credit' as account,
        currency,
        -amount_left as amount
    from {{ ref('credit_notes') }}

)

select
    transaction_id as broken_by,
    currency,
    debits,
    credits
from transactions
where
    debits <> credits
    or lowest_debit < 0
    or lowest_credit < 0
    or lowest_entry <= 0
    or two_sided > 0
    or first_night <> last_night

union all

select
    coalesce(documents.id, accounts.owed_by) as broken_by,
    coalesce(documents.currency, accounts.currency) as currency,
    documents.amount as debits,
    accounts.amount as credits
from documents
full outer join accounts
    on
        documents.id = accounts.owed_by
        and documents.account = accounts.account
        and documents.currency = accounts.currency
where coalesce(documents.amount, 0) <> coalesce(accounts.amount, 0)
-- depends_on: {{ ref('billing_certificate') }}
