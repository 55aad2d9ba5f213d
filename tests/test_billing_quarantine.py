"""Rows that only billing can refuse: each is published with file, line, value and reason, counted once, and comes back.

What the loader itself refuses (types, references, duplicates) and which invoices come out is tested elsewhere.
"""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from billing_models import Book, Models, compiled

from loompin.night import code_version
from loompin.publish import NotPublishable, build
from loompin.rules import read_expectations

NIGHT = date(2026, 2, 3)
TENANT = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
RULES = {
    "usage_events": {"cancels_nothing", "cancels_itself", "already_cancelled", "no_subscription", "unpriced"},
    "subscriptions": {"subscription_overlap", "unpriced"},
    "payments": {"excess_refund", "unknown_invoice", "wrong_currency"},
    "price_entries": {"tier_gap", "tier_overlap", "no_last_tier"},
    "price_books": {"equal_priority"},
}


def event(number: str, day: str, **more: str) -> dict[str, str]:
    """A use of one unit, received as it occurred; `more` replaces columns."""
    return {
        "event_id": number, "tenant_id": TENANT, "driver_key": "tokens", "quantity": "1",
        "occurred_at": f"{day}T12:00:00Z", "received_at": f"{day}T12:00:00Z", "cancels_event_id": "", **more,
    }  # fmt: skip


EVENTS = [
    event("a", "2026-01-10"),
    event("cancels a", "2026-01-11", cancels_event_id="a"),
    event("cancels a again", "2026-01-12", cancels_event_id="a"),
    event("cancels itself", "2026-01-12", cancels_event_id="cancels itself"),
    event("cancels nothing", "2026-01-12", cancels_event_id="gone"),
    event("too early", "2025-12-31", quantity="250"),
    event("no price", "2026-01-10", driver_key="disk", quantity="2.5"),
    event("broken price", "2026-01-10", driver_key="calls"),
    event("cancelled without a price", "2026-01-10", driver_key="disk"),
    event("cancels that", "2026-01-10", driver_key="disk", cancels_event_id="cancelled without a price"),
    event("billed", "2026-01-31"),
]


def subscription(number: str, start: str, **more: str) -> dict[str, str]:
    """A subscription to Pro in US dollars without an end; `more` replaces columns."""
    return {
        "id": number, "tenant_id": TENANT, "plan": "Pro", "currency": "USD", "started_on": start, "ended_on": "",
        "net_terms_days": "30", "minimum_commitment": "", **more,
    }  # fmt: skip


SUBSCRIPTIONS = [
    subscription("s1", "2026-01-01"),
    subscription("s2", "2026-01-15"),
    subscription("s3", "2026-01-01", tenant_id=OTHER, plan="Secret"),
]


def entry(number: str, item: str, **more: str) -> dict[str, str]:
    """A price per unit without an end; `more` replaces columns."""
    return {
        "id": number, "price_book": "Standard", "item_key": item, "pricing_model": "per_unit", "tier_up_to": "",
        "unit_price": "2", "flat_fee": "", "package_size": "", "free_units": "", "valid_from": "2025-01-01",
        "valid_to": "", **more,
    }  # fmt: skip


ENTRIES = [
    entry("e1", "tokens"),
    entry("e2", "calls", pricing_model="volume"),
    entry("e3", "calls", pricing_model="graduated", tier_up_to="10"),
]


def payment(number: str, invoice: str, amount: str, currency: str) -> dict[str, str]:
    return {
        "id": number, "invoice_id": invoice, "amount": amount, "currency": currency, "paid_at": "2026-02-02T09:00:00Z",
    }  # fmt: skip


PAYMENTS = [
    payment("p1", "INV-24-001", "40.00", "USD"),
    payment("p2", "INV-24-001", "9.00", "EUR"),
    payment("p3", "INV-24-999", "5.00", "USD"),
    payment("p4", "CN-24-001", "1.00", "USD"),
]


def fill(book: Book) -> None:
    book.write("tenants.csv", [
        {"id": TENANT, "name": "Alfa", "plan": "Pro", "status": "active", "region": "r", "slug": "alfa"},
        {"id": OTHER, "name": "Bravo", "plan": "Pro", "status": "active", "region": "r", "slug": "bravo"},
    ])  # fmt: skip
    book.write("plans.csv", [{"name": "Pro", "price_monthly": "49.00", "max_users": "10", "features": "[]"}])
    book.write("cost_drivers.csv", [
        {"driver_key": key, "category": "x", "unit_cost": cost, "unit_label": "unit"}
        for key, cost in (("tokens", "0.010000"), ("disk", "0.500000"), ("calls", "0.000001"))
    ])  # fmt: skip
    book.write("price_books.csv", [{"name": "Standard", "currency": "USD", "is_active": "true", "priority": "0"}])
    book.write("price_entries.csv", ENTRIES)
    book.write("subscriptions.csv", SUBSCRIPTIONS)
    book.write("usage_events/january.csv", EVENTS[:6])
    book.write("usage_events/more.csv", EVENTS[6:])
    book.write("payments.csv", PAYMENTS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


@pytest.fixture(scope="module")
def book(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Book:
    book = Book(tmp_path_factory.mktemp("book"), models)
    fill(book)
    book.run(NIGHT)
    return book


def test_each_refused_row_is_in_the_quarantine(book: Book) -> None:
    rows = book.ask("select * from quarantine order by table_name, source_file, source_line")
    assert [(r["source_file"], r["source_line"], r["rule"], r["column_name"], r["value"]) for r in rows] == [
        ("payments.csv", 3, "wrong_currency", "currency", "EUR"),
        ("payments.csv", 4, "unknown_invoice", "invoice_id", "INV-24-999"),
        ("payments.csv", 5, "unknown_invoice", "invoice_id", "CN-24-001"),
        ("price_entries.csv", 3, "tier_overlap", "tier_up_to", ""),
        ("price_entries.csv", 4, "tier_overlap", "tier_up_to", "10"),
        ("subscriptions.csv", 3, "subscription_overlap", "started_on", "2026-01-15"),
        ("usage_events/january.csv", 4, "already_cancelled", "cancels_event_id", "a"),
        ("usage_events/january.csv", 5, "cancels_itself", "cancels_event_id", "cancels itself"),
        ("usage_events/january.csv", 6, "cancels_nothing", "cancels_event_id", "gone"),
        ("usage_events/january.csv", 7, "no_subscription", "occurred_at", "2025-12-31 12:00:00"),
        ("usage_events/more.csv", 2, "unpriced", "driver_key", "disk"),
        ("usage_events/more.csv", 3, "unpriced", "driver_key", "calls"),
    ]


def test_the_reason_says_what_is_missing_and_what_it_costs(book: Book) -> None:
    told = {row["rule"] + row["value"]: row["reason"] for row in book.ask("select rule, value, reason from quarantine")}
    assert told["unpriceddisk"] == (
        "no price book of the tenant has a price in USD on this day; add one; not billed, cost 1.25 USD"
    )
    assert told["unpricedcalls"].startswith("the price set that wins on this day is broken")
    assert told["unpricedcalls"].endswith("cost 0.000001 USD")
    assert told["no_subscription2025-12-31 12:00:00"] == (
        "the tenant has no subscription on this day; add one that covers it; not billed, cost 2.5 USD"
    )
    assert told["wrong_currencyEUR"] == "the invoice is in USD; not counted, 9.00 EUR"
    assert "subscription s1, known earlier" in told["subscription_overlap2026-01-15"]


def test_the_whole_row_is_kept(book: Book) -> None:
    row = book.ask("select row_json, received_at from quarantine where value = 'disk'")[0]
    assert json.loads(row["row_json"]) == {
        "event_id": "no price", "tenant_id": TENANT, "driver_key": "disk", "quantity": 2.5,
        "occurred_at": "2026-01-10 12:00:00", "received_at": "2026-01-10 12:00:00", "cancels_event_id": None,
        "tenant_ref": TENANT,
    }  # fmt: skip
    assert str(row["received_at"]) == "2026-01-10 12:00:00"


def test_the_audit_counts_each_refused_row_once(book: Book) -> None:
    audit = {row.pop("source_file"): list(row.values()) for row in book.ask(
        "select source_file, rows_read, rows_accepted, rows_quarantined from load_audit"
        " where table_name in ('usage_events', 'subscriptions', 'payments')"
    )}  # fmt: skip
    assert audit == {
        "usage_events/january.csv": [6, 2, 4],
        "usage_events/more.csv": [5, 3, 2],
        "subscriptions.csv": [3, 2, 1],
        "payments.csv": [4, 1, 3],
    }


def test_every_rule_is_in_data_quality(book: Book) -> None:
    found: dict[str, list[Any]] = {row.pop("rule_id"): list(row.values()) for row in book.ask(
        "select rule_id, column_name, severity, status, rows_checked, rows_failed from data_quality"
    )}  # fmt: skip
    names = {f"{table}.{rule}" for table, rules in RULES.items() for rule in rules}
    assert names <= found.keys()
    assert {name: found[name] for name in names if name.startswith("subscriptions")} == {
        "subscriptions.subscription_overlap": ["started_on", "quarantine", "fail", 3, 1],
        "subscriptions.unpriced": ["plan", "warn", "fail", 3, 1],
    }
    assert {name: found[name][-1] for name in names if found[name][2] == "fail"} == {
        "usage_events.cancels_nothing": 1, "usage_events.cancels_itself": 1, "usage_events.already_cancelled": 1,
        "usage_events.no_subscription": 1, "usage_events.unpriced": 2, "subscriptions.subscription_overlap": 1,
        "subscriptions.unpriced": 1, "payments.unknown_invoice": 2, "payments.wrong_currency": 1,
        "price_entries.tier_overlap": 2,
    }  # fmt: skip
    assert book.ask("select count(*) - count(distinct rule_id) as twice from data_quality") == [{"twice": 0}]


def test_a_rule_that_blocks_ends_the_night(book: Book) -> None:
    expectations = read_expectations()
    strict = type(expectations)(
        expectations.entities, expectations.default, {**expectations.severities, "usage_events.unpriced": "block"}
    )
    before = book.settings.published.read_bytes()
    with pytest.raises(NotPublishable, match=re.escape("usage_events.unpriced: 2 rows")):
        build(
            book.settings, book.settings.warehouse, NIGHT, "run", code_version(),
            expected=("invoices",), expectations=strict,
        )  # fmt: skip
    assert book.settings.published.read_bytes() == before


def test_rows_come_back_when_what_they_lack_is_known(book: Book, models: Models, tmp_path: Path) -> None:
    later = Book(tmp_path, models)
    fill(later)
    later.write(
        "price_entries.csv", [ENTRIES[0], entry("e4", "calls"), entry("e5", "disk"), entry("e6", "plan:Secret")]
    )
    later.write("subscriptions.csv", [
        subscription("s0", "2025-12-01", ended_on="2026-01-01"), SUBSCRIPTIONS[0], SUBSCRIPTIONS[2],
    ])  # fmt: skip
    later.write("usage_events/gone.csv", [event("gone", "2026-01-09")])
    later.run(NIGHT)
    rules = {row["rule"] for row in later.ask("select rule from quarantine where table_name <> 'payments'")}
    assert rules == {"already_cancelled", "cancels_itself"}
    passed = later.ask(
        "select status, rows_failed from data_quality"
        " where rule_id in ('usage_events.unpriced', 'subscriptions.unpriced', 'subscriptions.subscription_overlap')"
    )
    assert passed == [{"status": "pass", "rows_failed": 0}] * 3


def test_a_set_that_does_not_fit_is_told_row_by_row_and_books_with_one_claim_are_counted(
    models: Models, tmp_path: Path
) -> None:
    book = Book(tmp_path, models)
    fill(book)
    book.write("price_books.csv", [
        {"name": name, "currency": "USD", "is_active": "true", "priority": "0"} for name in ("Standard", "Other")
    ])  # fmt: skip
    book.write("price_entries.csv", [
        entry("e1", "tokens"), entry("e2", "tokens", price_book="Other"),
        entry("open", "calls", pricing_model="graduated", tier_up_to="10"),
        entry("bad", "disk", pricing_model="graduated", tier_up_to="10", unit_price="-1"),
        entry("rest", "disk", pricing_model="graduated"),
    ])  # fmt: skip
    book.run(NIGHT)
    assert [tuple(row.values()) for row in book.ask(
        "select source_line, rule, value from quarantine where table_name = 'price_entries' order by all"
    )] == [(4, "no_last_tier", "10"), (5, "bad_price_entry", "10.000000"), (6, "tier_gap", "2025-01-01")]  # fmt: skip
    assert book.ask("select rows_failed, severity from data_quality where rule_id = 'price_books.equal_priority'") == [
        {"rows_failed": 1, "severity": "warn"}
    ]
    unpriced = book.ask("select value, reason from quarantine where rule = 'unpriced' order by all")
    assert [row["value"] for row in unpriced] == ["calls", "disk"]
    assert "another tier of the set is held back" in unpriced[1]["reason"]
