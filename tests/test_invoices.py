"""Invoices from the night they become final: numbers, terms, credit, refunds, payments and the ledger of all that.

Each book is small enough to add up by hand and goes from source files to what is published, night by night. Which lines
an invoice holds is tested by the scenarios.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from billing_models import Book, Models, compiled

TENANT = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


def subscription(number: str, started_on: str, **more: str) -> dict[str, str]:
    """A subscription to the plan Pro, 31.00 a month, in dollars."""
    return {
        "id": number, "tenant_id": TENANT, "plan": "Pro", "currency": "USD", "started_on": started_on, "ended_on": "",
        "net_terms_days": "", "minimum_commitment": "", "received_at": "2026-01-01T00:00:00Z", **more,
    }  # fmt: skip


def payment(number: str, invoice: str, amount: str, day: str, **more: str) -> dict[str, str]:
    return {
        "id": number, "invoice_id": invoice, "amount": amount, "currency": "USD", "paid_at": f"{day}T10:00:00Z", **more,
    }  # fmt: skip


@pytest.fixture
def book(models: Models, tmp_path: Path) -> Book:
    """One tenant on Pro, which the fixture's tests subscribe as they need."""
    made = Book(tmp_path, models)
    made.write("tenants.csv", [
        {"id": tenant, "name": name, "plan": "Pro", "status": "active", "region": "eu", "slug": slug}
        for tenant, name, slug in ((TENANT, "Zeta", "zeta"), (OTHER, "Alfa", "alfa"))
    ])  # fmt: skip
    made.write("plans.csv", [{"id": "p1", "name": "Pro", "price_monthly": "31.00", "max_users": "1", "features": "{}"}])
    made.write("cost_drivers.csv", [
        {"driver_key": "tokens", "category": "AI", "unit_cost": "1", "unit_label": "1k"},
    ])  # fmt: skip
    return made


def credited(book: Book) -> None:
    """January is billed whole in advance and ends after the 10th: a note of 21.00 in February. April starts anew."""
    book.write("subscriptions.csv", [
        subscription("s1", "2026-01-01", ended_on="2026-01-11"),
        subscription("s2", "2026-04-01", received_at="2026-03-20T00:00:00Z"),
    ])  # fmt: skip


def told(book: Book, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(str(value) for value in row.values()) for row in book.ask(sql)]


NOTES = "select id, amount, amount_left from credit_notes order by id"
BALANCES = "select id, amount, balance, status from invoices order by id"


def test_a_credit_note_is_used_before_payments(book: Book) -> None:
    credited(book)
    book.write("payments.csv", [payment("p1", "INV-24-003", "10.00", "2026-04-02")])
    assert book.night(date(2026, 4, 2)) == []
    assert told(book, NOTES) == [("CN-24-001", "21.00", "0.00")]
    assert told(book, BALANCES) == [
        ("INV-24-001", "31.00", "31.00", "Overdue"), ("INV-24-002", "0.00", "0.00", "Paid"),
        ("INV-24-003", "31.00", "0.00", "Paid"),
    ]  # fmt: skip


def test_a_refund_lowers_what_is_left_and_the_excess_is_reported(book: Book) -> None:
    credited(book)
    book.write("payments.csv", [
        payment("r1", "CN-24-001", "-15.00", "2026-02-20"), payment("r2", "CN-24-001", "-9.00", "2026-02-21"),
        payment("r3", "CN-24-001", "-1.00", "2026-02-21", currency="EUR"),
        payment("r4", "CN-24-001", "1.00", "2026-02-22"),
    ])  # fmt: skip
    assert book.night(date(2026, 4, 1)) == []
    assert told(book, NOTES) == [("CN-24-001", "21.00", "0.00")]
    assert told(book, BALANCES)[2] == ("INV-24-003", "31.00", "31.00", "Pending")
    assert told(book, "select source_line, rule from quarantine order by all") == [
        ("4", "wrong_currency"), ("5", "unknown_invoice"),
    ]  # fmt: skip
    assert told(book, "select severity, status, rows_failed from data_quality where rule_id like '%excess_refund'") == [
        ("warn", "fail", "1")
    ]
    with duckdb.connect(str(book.settings.warehouse), read_only=True) as connection:
        reasons = connection.execute(
            "select reason from intermediate.int_billing_quarantine where rule = 'excess_refund'"
        ).fetchall()
    assert reasons == [("the credit note had 6.00 left; not counted, -3.00 USD",)]


def test_a_refund_known_later_changes_no_use_of_credit(book: Book) -> None:
    credited(book)
    assert book.night(date(2026, 4, 1)) == []
    before = told(book, BALANCES), told(book, "select * from ledger_entries order by entry_id")
    book.write("payments.csv", [payment("r1", "CN-24-001", "-15.00", "2026-02-20")])
    assert book.night(date(2026, 4, 3)) == []
    assert told(book, BALANCES) == before[0]
    assert told(book, NOTES) == [("CN-24-001", "21.00", "0.00")]
    assert told(book, "select * from ledger_entries order by entry_id") == before[1], "nothing was left to pay out"


def test_a_payment_counts_from_the_night_of_its_invoice_and_an_overpayment_stays(book: Book) -> None:
    book.write("subscriptions.csv", [subscription("s1", "2026-01-01")])
    book.write("payments.csv", [
        payment("early", "INV-24-002", "20.00", "2026-01-15"), payment("over", "INV-24-001", "40.00", "2026-01-16"),
    ])  # fmt: skip
    assert book.night(date(2026, 1, 20)) == []
    assert told(book, "select rule from quarantine") == [("unknown_invoice",)]
    assert told(book, BALANCES) == [("INV-24-001", "31.00", "-9.00", "Paid")]
    assert book.night(date(2026, 2, 3)) == []
    assert told(book, "select rule from quarantine") == []
    assert told(book, BALANCES) == [
        ("INV-24-001", "31.00", "-9.00", "Paid"), ("INV-24-002", "31.00", "11.00", "Pending"),
    ]  # fmt: skip
    assert told(book, "select account, date, night, debit, credit from ledger_entries where payment_id = 'early'") == [
        ("cash", "2026-01-15", "2026-02-01", "20.00", "0.00"),
        ("receivable", "2026-01-15", "2026-02-01", "0.00", "20.00"),
    ]  # fmt: skip


def test_terms_are_those_known_when_the_invoice_became_final(book: Book) -> None:
    first = subscription("s1", "2026-01-01", net_terms_days="10")
    book.write("subscriptions.csv", [first, {**first, "net_terms_days": "45", "received_at": "2026-02-05T00:00:00Z"}])
    assert book.night(date(2026, 3, 1)) == []
    assert told(book, "select id, due_date from invoices order by id") == [
        ("INV-24-001", "2026-01-11"), ("INV-24-002", "2026-02-11"), ("INV-24-003", "2026-04-15"),
    ]  # fmt: skip


def test_numbers_follow_night_slug_and_currency(book: Book) -> None:
    book.write("subscriptions.csv", [
        subscription("s1", "2026-01-01", ended_on="2026-02-01"),
        subscription("s2", "2026-02-01", tenant_id=OTHER),
        subscription("s3", "2026-02-01"),
    ])  # fmt: skip
    assert book.night(date(2026, 2, 1)) == []
    assert told(book, "select id, tenant_slug, date from invoices order by id") == [
        ("INV-24-001", "zeta", "2026-01-01"), ("INV-24-002", "alfa", "2026-02-01"),
        ("INV-24-003", "zeta", "2026-02-01"),
    ]  # fmt: skip


def test_the_ledger_of_a_night_stands_in_every_later_one(book: Book) -> None:
    credited(book)
    book.write("payments.csv", [
        payment("p1", "INV-24-001", "31.00", "2026-01-15"), payment("p2", "INV-24-003", "10.00", "2026-03-30"),
        payment("r1", "CN-24-001", "-5.00", "2026-02-20"),
    ])  # fmt: skip
    nights = [
        date(2026, 1, 1),
        date(2026, 1, 20),
        date(2026, 2, 1),
        date(2026, 2, 25),
        date(2026, 4, 1),
        date(2026, 4, 2),
    ]
    seen: set[tuple[Any, ...]] = set()
    before = date.min
    for day in nights:
        assert book.night(day) == []
        now = set(told(book, "select * from ledger_entries"))
        assert seen <= now
        assert all(str(before) < night <= str(day) for _, _, _, night, *_ in now - seen)
        seen, before = now, day
    accounts = told(
        book, "select account, sum(debit - credit) from ledger_entries group by account order by account"
    )  # fmt: skip
    assert accounts == [("cash", "36.00"), ("credit", "0.00"), ("receivable", "5.00"), ("revenue", "-41.00")]
    assert [row["status"] for row in book.ask("select status from invoices order by id")] == ["Paid", "Paid", "Pending"]


def test_one_load_and_night_by_night_are_the_same(book: Book, models: Models, tmp_path: Path) -> None:
    credited(book)
    book.write("payments.csv", [
        payment("p1", "INV-24-001", "31.00", "2026-01-15"), payment("r1", "CN-24-001", "-5.00", "2026-02-20"),
    ])  # fmt: skip
    whole = Book(tmp_path / "whole", models)
    for file in book.settings.source.iterdir():
        whole.settings.source.mkdir(parents=True, exist_ok=True)
        (whole.settings.source / file.name).write_bytes(file.read_bytes())
    for day in (date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 5)):
        assert book.night(day) == []
    assert whole.night(date(2026, 4, 5)) == []
    for table in ("invoices", "credit_notes", "ledger_entries", "invoice_lines"):
        assert told(book, f"select * from {table} order by all") == told(whole, f"select * from {table} order by all")


def used(number: str, quantity: str, **more: str) -> dict[str, str]:
    return {
        "event_id": number, "tenant_id": TENANT, "driver_key": "tokens", "quantity": quantity,
        "occurred_at": "2026-01-10T12:00:00Z", "received_at": "2026-01-10T13:00:00Z", "cancels_event_id": "", **more,
    }  # fmt: skip


def priced(book: Book) -> None:
    """A token costs 0.50 in the book that is open to everyone."""
    book.write("price_books.csv", [
        {"id": "b1", "name": "Open", "currency": "USD", "is_active": "true", "priority": "0", "description": ""},
    ])  # fmt: skip
    book.write("price_entries.csv", [{
        "id": "e1", "price_book": "Open", "item_key": "tokens", "pricing_model": "per_unit", "tier_up_to": "",
        "unit_price": "0.50", "flat_fee": "", "package_size": "", "free_units": "", "valid_from": "2025-01-01",
        "valid_to": "",
    }])  # fmt: skip


def test_law_6_order_and_split_of_rows_and_files_do_not_matter(book: Book, models: Models, tmp_path: Path) -> None:
    events = [
        used("a", "10"), used("a", "10", received_at="2026-01-11T13:00:00Z"),
        used("b", "5"), used("b", "6", received_at="2026-01-12T13:00:00Z"),
        used("c", "7"), used("d", "0", cancels_event_id="c", received_at="2026-02-20T13:00:00Z"),
        used("e", "0", cancels_event_id="c", received_at="2026-02-21T13:00:00Z"),
        used("late", "4", received_at="2026-02-10T13:00:00Z"),
    ]  # fmt: skip
    paid = [
        payment("p1", "INV-24-001", "31.00", "2026-01-15"), payment("p1", "INV-24-001", "30.00", "2026-01-16"),
        payment("p2", "INV-24-002", "1.00", "2026-02-16"),
    ]  # fmt: skip
    split = Book(tmp_path / "split", models)
    for made in (book, split):
        priced(made)
        made.write("subscriptions.csv", [subscription("s1", "2026-01-01")])
    book.write("usage_events.csv", events)
    book.write("payments.csv", paid)
    for file in ("tenants.csv", "plans.csv", "cost_drivers.csv"):
        (split.settings.source / file).write_bytes((book.settings.source / file).read_bytes())
    for place, event in enumerate(reversed(events)):
        split.write(f"usage_events/{place}.csv", [event])
    for place, row in enumerate(reversed(paid)):
        split.write(f"payments/{place}.csv", [row])
    for made in (book, split):
        assert made.night(date(2026, 3, 2)) == []
    lines = "select line_type, quantity, amount from invoice_lines where item_key = 'tokens' order by all"
    assert told(book, lines) == [
        ("adjustment", "-3.000000", "-1.50"), ("usage", "22.000000", "11.00"),
    ]  # fmt: skip
    for table in ("invoices", "invoice_lines", "ledger_entries", "tenant_usage_daily", "billing_certificate"):
        assert told(book, f"select * from {table} order by all") == told(split, f"select * from {table} order by all")
    refused = "select table_name, rule, value, row_json from quarantine order by all"
    assert told(book, refused) == told(split, refused)


def test_the_certificate_gives_every_event_an_outcome(book: Book) -> None:
    priced(book)
    book.write("subscriptions.csv", [subscription("s1", "2026-01-01")])
    book.write("usage_events.csv", [
        used("a", "10"), used("a", "10", received_at="2026-01-11T13:00:00Z"),
        used("a", "10", occurred_at="2026-02-01T12:00:00Z", received_at="2026-02-03T13:00:00Z"),
        used("b", "-1"), used("c", "3"), used("c", "4", received_at="2026-01-12T13:00:00Z"),
        used("d", "5", occurred_at="2025-12-31T12:00:00Z", received_at="2025-12-31T12:00:00Z"),
        used("e", "7"), used("f", "0", cancels_event_id="e"), used("g", "0", cancels_event_id="gone"),
    ])  # fmt: skip
    assert book.night(date(2026, 2, 4)) == []
    certificate = (
        "select service_month, outcome, rule, currency, events, quantity, cost, price from billing_certificate"
        " where events > 0 order by all"
    )
    assert told(book, certificate) == [
        ("2025-12-01", "quarantined", "no_subscription", "None", "1", "5.000000", "5.000000000000", "None"),
        ("2025-12-01", "received", "None", "None", "1", "5.000000", "5.000000000000", "None"),
        ("2026-01-01", "billed", "None", "USD", "2", "13.000000", "13.000000000000", "6.50"),
        ("2026-01-01", "cancellation", "None", "None", "1", "None", "None", "None"),
        ("2026-01-01", "cancelled", "None", "None", "1", "7.000000", "7.000000000000", "None"),
        ("2026-01-01", "duplicate", "None", "None", "1", "None", "None", "None"),
        ("2026-01-01", "quarantined", "bad_quantity", "None", "1", "-1.000000", "-1.000000000000", "None"),
        ("2026-01-01", "quarantined", "cancels_nothing", "None", "1", "None", "None", "None"),
        ("2026-01-01", "quarantined", "duplicate_conflict", "None", "1", "4.000000", "4.000000000000", "None"),
        ("2026-01-01", "received", "None", "None", "8", "23.000000", "23.000000000000", "None"),
        ("2026-02-01", "not_yet_billed", "None", "USD", "1", "10.000000", "10.000000000000", "5.00"),
        ("2026-02-01", "received", "None", "None", "1", "10.000000", "10.000000000000", "None"),
    ]  # fmt: skip
    lateness = (
        "select repeated_ids, minutes_late_p50, minutes_late_max from billing_certificate"
        " where outcome = 'received' order by service_month"
    )
    assert told(book, lateness) == [
        ("0", "0", "0"), ("1", "60", "60"), ("1", "2940", "2940"),
    ]  # fmt: skip
    margins = (
        "select service_month, usage_price, plan_price, events, margin from billing_margins order by service_month"
    )
    assert told(book, margins) == [
        ("2026-01-01", "6.50", "31.00", "2", "24.500000000000"),
        ("2026-02-01", "0.00", "31.00", "0", "31.000000000000"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("planted", "law"),
    [
        ("update finals set content_hash = 'other' where id = 'INV-24-001'", "assert_final_invoices_never_change"),
        ("delete from finals where id = 'INV-24-002'", "assert_final_invoices_never_change"),
        (
            "insert into finals select 'INV-24-999', date, content_hash from finals",
            "assert_final_invoices_never_change",
        ),
    ],
)
def test_a_final_invoice_that_changes_ends_the_night(book: Book, planted: str, law: str) -> None:
    credited(book)
    assert book.night(date(2026, 2, 1)) == []
    kept = book.settings.raw / "nights" / "2026-02-01.finals.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table finals as from '{kept}'")
        connection.execute(planted)
        connection.execute(f"copy finals to '{kept}' (format parquet)")
    before = book.settings.published.read_bytes()
    assert book.night(date(2026, 2, 2)) == [law]
    assert book.settings.published.read_bytes() == before


def test_a_ledger_that_was_changed_ends_the_night(book: Book) -> None:
    credited(book)
    book.write("payments.csv", [payment("p1", "INV-24-001", "31.00", "2026-01-15")])
    assert book.night(date(2026, 2, 2)) == []
    kept = book.settings.raw / "nights" / "2026-02-02.json"
    text = kept.read_text(encoding="utf-8")
    assert '"ledger_entries": 6' in text
    kept.write_text(text.replace('"ledger_entries": 6', '"ledger_entries": 7'), encoding="utf-8")
    assert book.night(date(2026, 2, 3)) == ["assert_ledger_is_only_appended_to"]
    kept.write_text(text, encoding="utf-8")
    assert book.night(date(2026, 2, 3)) == []
