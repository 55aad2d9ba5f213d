"""Each law of billing in dbt_project/tests/billing can fail: it is quiet on a small book of business that keeps it, and
not on the same book with one violation planted.

The laws are plain SQL over models, so each runs here, as dbt compiled it, on tables made by hand. Whether the models
keep the laws is not tested here: dbt does that every night.
"""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
from billing_models import Models, compiled

LAWS = Path(__file__).resolve().parent.parent / "dbt_project" / "tests" / "billing"

# One tenant, billed 49.00 in advance for January; 10 units of January at 0.50, and a credit note of 20.00 in February,
# of which March uses 15.00 and a refund pays out 1.00. The night before was that of 2026-02-28.
BOOK = """
create table invoices as
    select * from (values
        ('INV-24-001', 't', 'acme', date '2026-01-01', 49.00::decimal(18, 2), 'USD', 1.00::decimal(18, 2)),
        ('INV-24-002', 't', 'acme', date '2026-02-01', 0.00, 'USD', 0.00),
        ('INV-24-003', 't', 'acme', date '2026-03-01', 15.00, 'USD', 0.00)
    ) v (id, tenant_id, tenant_slug, date, amount, currency, balance);
alter table invoices add column content_hash varchar;
update invoices set content_hash = 'hash of ' || id;
create table invoice_lines as
    select * from (values
        ('INV-24-001', 't', 'subscription', 'plan:Pro', date '2026-01-01', 31::decimal(38, 6),
            49.00::decimal(18, 2), 'USD'),
        ('INV-24-002', 't', 'usage', 'cpu', date '2026-01-01', 10, 5.00, 'USD'),
        ('INV-24-002', 't', 'proration', 'plan:Pro', date '2026-01-01', -20, -25.00, 'USD'),
        ('INV-24-002', 't', 'credit', 'credit_note', date '2026-02-01', 1, 20.00, 'USD'),
        ('INV-24-003', 't', 'subscription', 'plan:Pro', date '2026-03-01', 31, 15.00, 'USD')
    ) v (invoice_id, tenant_id, line_type, item_key, service_from, quantity, amount, currency);
create table credit_notes as
    select 'CN-24-001' as id, 't' as tenant_id, 'USD' as currency, 'INV-24-002' as invoice_id,
        date '2026-02-01' as date, 20.00::decimal(18, 2) as amount, 4.00::decimal(18, 2) as amount_left;
create table int_credit_uses as
    select * from (values
        ('CN-24-001', 'INV-24-003', null, date '2026-03-01', 15.00::decimal(18, 2)),
        ('CN-24-001', null, 'p2', date '2026-03-05', 1.00)
    ) v (credit_note_id, invoice_id, payment_id, night, amount);
create table ledger_entries as
    select *, 'USD' as currency from (values
        ('invoice INV-24-001', 'receivable', date '2026-01-01', 49.00::decimal(18, 2), 0::decimal(18, 2),
            'INV-24-001', null),
        ('invoice INV-24-001', 'revenue', date '2026-01-01', 0, 49.00, 'INV-24-001', null),
        ('invoice INV-24-002', 'revenue', date '2026-02-01', 0, 5.00, 'INV-24-002', null),
        ('invoice INV-24-002', 'revenue', date '2026-02-01', 25.00, 0, 'INV-24-002', null),
        ('invoice INV-24-002', 'credit', date '2026-02-01', 0, 20.00, 'INV-24-002', 'CN-24-001'),
        ('invoice INV-24-003', 'receivable', date '2026-03-01', 15.00, 0, 'INV-24-003', null),
        ('invoice INV-24-003', 'revenue', date '2026-03-01', 0, 15.00, 'INV-24-003', null),
        ('use CN-24-001 INV-24-003', 'credit', date '2026-03-01', 15.00, 0, 'INV-24-003', 'CN-24-001'),
        ('use CN-24-001 INV-24-003', 'receivable', date '2026-03-01', 0, 15.00, 'INV-24-003', 'CN-24-001'),
        ('payment p1', 'cash', date '2026-02-10', 48.00, 0, 'INV-24-001', null),
        ('payment p1', 'receivable', date '2026-02-10', 0, 48.00, 'INV-24-001', null),
        ('refund p2', 'credit', date '2026-03-05', 1.00, 0, 'INV-24-002', 'CN-24-001'),
        ('refund p2', 'cash', date '2026-03-05', 0, 1.00, 'INV-24-002', 'CN-24-001')
    ) v (transaction_id, account, night, debit, credit, invoice_id, credit_note_id);
alter table ledger_entries add column entry_id varchar;
update ledger_entries set entry_id = transaction_id || account || debit;
create table stg_final_invoices as
    select id as invoice_id, date as invoice_date, 'hash of ' || id as content_hash
    from invoices where date < date '2026-02-28';
create table stg_ledger_nights as
    select date '2026-02-28' as night, null::date as since, count(*) as entries,
        cast(sum(cast(
            md5_number_lower(entry_id || '|' || account || '|' || debit || '|' || credit) as hugeint
        )) as varchar) as digest
    from ledger_entries where night <= date '2026-02-28';
create table night as select date '2026-03-06' as night;
create table stg_load_audit as
    select * from (values
        ('usage_events', 5, 3), ('usage_events', 2, 2), ('tenants', 1, 1)
    ) v (table_name, rows_read, rows_accepted);
create table billing_certificate as
    select * from (values
        ('received', date '2026-01-01', 6), ('received', date '2026-03-01', 1), ('billed', date '2026-01-01', 2)
    ) v (outcome, service_month, events);
-- January: two uses that count, one that was cancelled, its cancellation; March: one use. Two rows did not get so far.
create table int_usage_receipts as
    select * from (values
        (date '2026-01-01', false, 5, 2, 10::decimal(38, 6)), (date '2026-01-01', false, 9, 1, 99),
        (date '2026-01-01', true, 9, 1, 0), (date '2026-03-01', false, 5, 1, 7)
    ) v (service_month, is_cancellation, minutes_late, events, quantity);
create table int_usage_cancellations as
    select * from (values
        ('cancellation', date '2026-01-01', 99::decimal(38, 6)), ('cancels_nothing', date '2026-01-01', null)
    ) v (status, service_month, cancelled_quantity);
create table int_usage_days as
    select * from (values
        ('t', 'cpu', date '2026-01-03', date '2026-01-01', date '2026-02-01', 105::decimal(38, 6), 2),
        ('t', 'cpu', date '2026-01-04', date '2026-01-01', date '2026-02-01', 4, 1),
        ('t', 'cpu', date '2026-01-03', date '2026-01-01', date '2026-03-01', -99, -1),
        ('t', 'cpu', date '2026-03-05', date '2026-03-01', date '2026-04-01', 7, 1)
    ) v (tenant_id, driver_key, usage_date, service_month, known_close, quantity, events);
create table tenant_usage_daily as
    select * from (values
        ('t', 'cpu', date '2026-01-03', 6::decimal(38, 6), 1),
        ('t', 'cpu', date '2026-01-04', 4, 1),
        ('t', 'cpu', date '2026-03-05', 7, 1)
    ) v (tenant_id, driver_key, usage_date, quantity, events);
create schema kept;
create table kept.made_months as
    select 'tenant_usage_daily' as relation, date '2026-01-01' as service_month, 'f' as fingerprint;
create table kept.tested_months as from kept.made_months where false;
create table int_usage_accepted as
    select * from (values
        ('t', 'USD', 'cpu', date '2026-01-01', 2, 10::decimal(38, 6)), ('t', 'USD', 'cpu', date '2026-03-01', 0, 0)
    ) v (tenant_id, currency, item_key, service_month, events_billed, quantity_billed);
-- January's usage rates 5.00 at first and 4.96 once one event is cancelled; its minimum of 20.00 for 11 of 31 days is
-- 7.10; its plan is billed whole and given back for 20 days.
create table int_invoice_lines as
    select *, 't' as tenant_id, 'USD' as currency, date '2026-01-01' as service_month from (values
        ('u', 'cpu', 'set', 109::decimal(38, 6), 3, null::decimal(18, 6), 5.45::decimal(18, 2)),
        ('u', 'cpu', 'set', -99, -1, null, -4.95),
        ('m', 'minimum', null, 1, 0, null, 1.65),
        ('m', 'minimum', null, 1, 0, null, 4.95),
        ('f', 'plan:Pro', null, 31, 0, 49.00, 49.00),
        ('f', 'plan:Pro', null, -20, 0, 49.00, -31.61)
    ) v (chain_id, item_key, price_set_id, quantity, events, unit_price, amount);
create table int_usage_changes as
    select *, 't' as tenant_id, 'USD' as currency, 'set' as price_set_id, date '2026-01-01' as service_month,
        true as is_charged from (values
        (date '2026-02-01', 109::decimal(38, 6)), (date '2026-03-01', 10), (date '2026-04-01', 500)
    ) v (invoice_date, quantity_to_date);
create table int_subscription_months as
    select * from (values
        ('t', 'USD', date '2026-01-01', date '2026-02-01', 20.00::decimal(18, 2), 11, 31, date '2026-02-01',
            date '9999-12-31'),
        ('t', 'USD', date '2026-01-01', date '2026-02-01', 20.00, 31, 31, date '2026-01-01', date '2026-02-01')
    ) v (tenant_id, currency, service_month, next_month, minimum_commitment, days_covered, days_in_month,
        arrears_close, ended_close);
create table int_usage_prices as
    select *, 't' as tenant_id, 'USD' as currency, 'cpu' as item_key, date '2026-01-01' as service_month from (values
        ('set', date '2026-01-01', date '2026-01-20', date '2026-02-01', date '9999-12-31'),
        ('other', date '2026-01-20', date '2026-02-01', date '2026-02-01', date '2026-03-01'),
        ('set', date '2026-01-20', date '2026-02-01', date '2026-03-01', date '9999-12-31')
    ) v (price_set_id, day_from, day_to, billed_from, billed_to);
create table int_subscription_states as
    select *, date '2026-01-01' as known_close from (values
        ('t', 's1', date '2026-01-01', date '2026-01-12', date '9999-12-31'),
        ('t', 's2', date '2026-01-12', date '9999-12-31', date '9999-12-31'),
        ('t', 's3', date '2026-01-01', date '9999-12-31', date '2026-01-01'),
        ('u', 's4', date '2026-01-01', date '9999-12-31', date '9999-12-31')
    ) v (tenant_id, subscription_id, started_on, covered_to, ended_close);
create table int_usage_lines as select 'set' as price_set_id;
create table int_price_tiers as
    select *, 'graduated' as pricing_model, 0::decimal(18, 6) as flat_fee, null::decimal(38, 6) as package_size,
        0::decimal(38, 6) as free_units from (values
        ('set', 1, 0::decimal(38, 6), 100::decimal(38, 6), 0.05::decimal(18, 6)),
        ('set', 2, 100, 99999999999999999999, 0.05)
    ) v (price_set_id, tier, tier_from, tier_bound, unit_price);
"""

VIOLATIONS = {
    "assert_lines_sum_to_invoice": [
        "update invoice_lines set amount = amount + 0.01 where item_key = 'cpu'",
        "delete from invoices where id = 'INV-24-003'",
        "delete from invoice_lines where invoice_id = 'INV-24-003'",
        "update invoice_lines set currency = 'EUR' where item_key = 'cpu'",
        (
            "update invoices set currency = 'JPY', amount = 49.50 where id = 'INV-24-001';"
            "update invoice_lines set currency = 'JPY', amount = 49.50 where invoice_id = 'INV-24-001'"
        ),
    ],
    "assert_usage_rows_and_quantities_tie": [
        "update stg_load_audit set rows_read = 6 where rows_read = 5",
        "update stg_load_audit set rows_accepted = 4 where rows_accepted = 3",
        "update billing_certificate set events = 5 where events = 6",
        "delete from billing_certificate",
        "insert into int_usage_receipts values (date '2026-02-01', false, 5, 1, 1)",
        "update int_usage_receipts set quantity = 10.000001 where quantity = 10",
        "delete from int_usage_cancellations where status = 'cancellation'",
        "update int_usage_days set quantity = quantity + 0.000001 where quantity = 7",
        "delete from tenant_usage_daily where usage_date = date '2026-01-04'",
        "update tenant_usage_daily set quantity = quantity + 0.000001 where usage_date = date '2026-03-05'",
        "update tenant_usage_daily set events = 2 where usage_date = date '2026-03-05'",
        "insert into tenant_usage_daily values ('t', 'gpu', date '2026-01-03', 1, 1)",
    ],
    "assert_each_accepted_event_is_in_one_line": [
        "update int_usage_accepted set events_billed = 3 where events_billed = 2",
        "update int_usage_accepted set quantity_billed = 10.000001 where quantity_billed = 10",
        "delete from int_usage_accepted",
        "delete from int_invoice_lines where quantity = -99",
        "insert into int_invoice_lines select * from int_invoice_lines where quantity = 109",
        "update int_invoice_lines set currency = 'EUR' where item_key = 'cpu'",
        "delete from invoice_lines where item_key = 'cpu'",
        "insert into invoice_lines select * from invoice_lines where item_key = 'cpu'",
    ],
    "assert_months_sum_to_one_invoice": [
        "update int_invoice_lines set amount = -4.94 where quantity = -99",
        "delete from int_invoice_lines where quantity = -99",
        "update int_price_tiers set unit_price = 0.06 where tier = 1",
        "update int_price_tiers set flat_fee = 1 where tier = 1",
        "update int_usage_changes set is_charged = false",
        "update int_usage_changes set quantity_to_date = 11 where quantity_to_date = 10",
        "delete from int_usage_changes",
        "update int_invoice_lines set amount = 1.66 where amount = 1.65",
        "delete from int_invoice_lines where item_key = 'minimum'",
        "delete from int_subscription_months",
        "update int_subscription_months set days_covered = 12 where days_covered = 11",
        "update int_invoice_lines set amount = -31.60 where quantity = -20",
        "update int_invoice_lines set quantity = -40 where quantity = -20",
        "update int_invoice_lines set unit_price = 48.00 where quantity = -20",
    ],
    "assert_one_price_set_rates_a_day": [
        "update int_usage_prices set day_to = date '2026-01-21' where day_from = date '2026-01-01'",
        "update int_usage_prices set billed_to = date '2026-04-01' where price_set_id = 'other'",
        (
            "insert into int_usage_prices select * replace ('EUR' as currency) from int_usage_prices"
            " where price_set_id = 'other'"
        ),
    ],
    "assert_invoice_numbers_run_without_gaps": [
        "delete from invoices where id = 'INV-24-002'",
        "update invoices set id = 'INV-24-004' where id = 'INV-24-003'",
        "update invoices set date = date '2026-04-01' where id = 'INV-24-001'",
        "update credit_notes set id = 'CN-24-002'",
    ],
    "assert_credits_never_exceed_what_they_credit": [
        "update credit_notes set amount_left = 25.00",
        "update credit_notes set amount = 15.00, amount_left = -1.00",
        (
            "update int_credit_uses set amount = 16.00 where invoice_id is not null;"
            "update credit_notes set amount_left = 3.00"
        ),
        (
            "update int_credit_uses set amount = -1.00 where payment_id is not null;"
            "update credit_notes set amount_left = 6.00"
        ),
        "update int_credit_uses set night = date '2026-01-31' where payment_id is not null",
        "delete from credit_notes",
    ],
    "assert_ledger_balances": [
        "update ledger_entries set debit = debit + 0.01 where account = 'cash'",
        "update ledger_entries set currency = 'EUR' where transaction_id = 'payment p1' and account = 'cash'",
        "update ledger_entries set invoice_id = 'INV-24-003' where transaction_id = 'payment p1' and account = 'cash'",
        "delete from ledger_entries where transaction_id = 'payment p1'",
        "delete from ledger_entries where transaction_id = 'refund p2'",
        "insert into ledger_entries select * from ledger_entries where transaction_id = 'use CN-24-001 INV-24-003'",
        "update ledger_entries set debit = 1.00, credit = 49.00 where account = 'receivable' and credit = 48.00",
        "update ledger_entries set night = date '2026-02-11' where transaction_id = 'payment p1' and account = 'cash'",
    ],
    "assert_final_invoices_never_change": [
        "update invoices set content_hash = 'other' where id = 'INV-24-001'",
        "delete from invoices where id = 'INV-24-002'",
        "update invoices set date = date '2026-01-31' where id = 'INV-24-002'",
        "insert into invoices select * replace ('INV-24-004' as id) from invoices where id = 'INV-24-002'",
    ],
    "assert_ledger_is_only_appended_to": [
        "delete from ledger_entries where transaction_id = 'payment p1'",
        "update ledger_entries set debit = debit + 1 where account = 'cash' and night < date '2026-02-28'",
        "update ledger_entries set account = 'receivable' where account = 'cash' and night < date '2026-02-28'",
        "update ledger_entries set night = date '2026-02-28' where transaction_id = 'refund p2' and account = 'cash'",
    ],
    "assert_service_periods_do_not_overlap": [
        "update int_subscription_states set covered_to = date '2026-01-13' where subscription_id = 's1'",
        "update int_subscription_states set ended_close = date '2026-02-01' where subscription_id = 's3'",
    ],
    "assert_price_sets_that_bill_have_no_gap": [
        "update int_price_tiers set tier_from = 101 where tier = 2",
        "update int_price_tiers set tier_from = 99 where tier = 2",
        "delete from int_price_tiers where tier = 2",
        "update int_price_tiers set tier_from = 1 where tier = 1",
    ],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


def failures(models: Models, law: str, planted: str = "") -> int:
    """How many rows the law reports on the book, after the planted violation."""
    sql = re.sub(r'"warehouse"\."\w+"\.("\w+")', r"\1", models.laws[law])
    with duckdb.connect() as connection:
        connection.execute(BOOK)
        connection.execute(planted)
        return len(connection.execute(sql).fetchall())


def test_every_law_has_a_planted_violation() -> None:
    assert {path.stem for path in LAWS.glob("*.sql")} == set(VIOLATIONS)


@pytest.mark.parametrize("law", sorted(VIOLATIONS))
def test_a_book_that_keeps_the_law_passes(law: str, models: Models) -> None:
    assert failures(models, law) == 0


@pytest.mark.parametrize(("law", "planted"), [(law, planted) for law, list_ in VIOLATIONS.items() for planted in list_])
def test_a_planted_violation_is_caught(law: str, planted: str, models: Models) -> None:
    assert failures(models, law, planted) > 0


KEPT = "insert into kept.tested_months select * from kept.made_months;"


def test_a_month_that_is_kept_as_it_was_tied_is_held_by_its_totals(models: Models) -> None:
    law = "assert_usage_rows_and_quantities_tie"
    twice = "insert into tenant_usage_daily select * from tenant_usage_daily where usage_date = date '2026-01-04'"
    other_driver = "update tenant_usage_daily set driver_key = 'gpu' where usage_date = date '2026-01-04'"
    assert failures(models, law, KEPT) == 0
    assert failures(models, law, KEPT + twice) == 1
    assert failures(models, law, other_driver) == 2
    assert failures(models, law, KEPT + other_driver) == 0
    assert failures(models, law, KEPT + "update kept.made_months set fingerprint = 'g';" + other_driver) == 2
    assert failures(models, law, KEPT + other_driver.replace("2026-01-04", "2026-03-05")) == 2
