"""What was restated: subscriptions, prices, books and commitments that change after an invoice was final.

Each case was added up by hand. Cases in which nothing is restated are in test_billing_scenarios.py, single rules of
rating in dbt's unit tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pytest
from billing_models import Book, Models, compiled

ALFA = "00000000-0000-4000-8000-000000000001"
LINES = (
    "select i.date, l.currency, l.line_type, l.item_key, l.quantity, l.amount from invoice_lines as l"
    " join invoices as i on i.id = l.invoice_id order by all"
)
Row = Mapping[str, str]
Tables = dict[str, list[Row]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


def subscription(number: str, start: str, end: str = "", received: str = "2026-01-01", **more: str) -> Row:
    """A subscription of Alfa to Pro in US dollars; `more` replaces columns."""
    return {
        "id": number, "tenant_id": ALFA, "plan": "Pro", "currency": "USD", "started_on": start, "ended_on": end,
        "net_terms_days": "30", "minimum_commitment": "", "received_at": f"{received}T00:00:00Z", **more,
    }  # fmt: skip


def entry(number: str, price: str, received: str = "2025-01-01", **more: str) -> Row:
    """A price per unit of cpu in the open book, without an end; `more` replaces columns."""
    return {
        "id": number, "price_book": "Open", "item_key": "cpu", "pricing_model": "per_unit", "tier_up_to": "",
        "unit_price": price, "flat_fee": "", "package_size": "", "free_units": "", "valid_from": "2025-01-01",
        "valid_to": "", "received_at": f"{received}T00:00:00Z", **more,
    }  # fmt: skip


def use(number: str, day: str, quantity: str, received: str = "", **more: str) -> Row:
    """A use of cpu by Alfa, received as it occurred; `more` replaces columns."""
    return {
        "event_id": number, "tenant_id": ALFA, "driver_key": "cpu", "quantity": quantity,
        "occurred_at": f"{day}T12:00:00Z", "received_at": f"{received or day}T12:00:00Z", "cancels_event_id": "",
        **more,
    }  # fmt: skip


def book_of(name: str, currency: str, received: str = "2025-01-01", **more: str) -> Row:
    """An active book open to everyone in its currency; `more` replaces columns."""
    return {
        "name": name, "currency": currency, "is_active": "true", "priority": "0",
        "received_at": f"{received}T00:00:00Z", **more,
    }  # fmt: skip


def plan(name: str, price: str, received: str = "2025-01-01") -> Row:
    return {
        "name": name, "price_monthly": price, "max_users": "1", "features": "[]",
        "received_at": f"{received}T00:00:00Z",
    }  # fmt: skip


def tables(**given: Sequence[Row]) -> Tables:
    """The sources of a case: what every case has, and `given` instead."""
    return {
        "tenants": [{"id": ALFA, "name": "Alfa", "plan": "Pro", "status": "active", "region": "r", "slug": "alfa"}],
        "plans": [plan("Pro", "31.00"), plan("Free", "0.00")],
        "cost_drivers": [{"driver_key": "cpu", "category": "x", "unit_cost": "0.5", "unit_label": "hour"}],
        "price_books": [book_of("Open", "USD")],
        "price_entries": [entry("e1", "2")],
        **{table: list(rows) for table, rows in given.items()},
    }  # fmt: skip


# Name of the case: sources, last night, and the lines as date, currency, type, item, quantity, amount.
CASES: dict[str, tuple[Tables, str, list[tuple[str, str, str, str, str, str]]]] = {
    "a price restated in February rates February; January keeps its price, late usage too": (
        tables(
            subscriptions=[subscription("s1", "2026-01-01", plan="Free")],
            price_entries=[entry("e1", "2"), entry("e1", "3", "2026-02-10")],
            usage_events=[
                use("u1", "2026-01-10", "5"), use("u2", "2026-01-10", "1", "2026-02-20"), use("u3", "2026-02-15", "1"),
            ],
        ), "2026-03-01", [
            ("2026-02-01", "USD", "usage", "cpu", "5", "10.00"),
            ("2026-03-01", "USD", "adjustment", "cpu", "1", "2.00"),
            ("2026-03-01", "USD", "usage", "cpu", "1", "3.00"),
        ],
    ),
    "a set repaired after the month's invoice bills the month then, and the book behind it never steps in": (
        tables(
            subscriptions=[subscription("s1", "2026-01-01", plan="Free")],
            price_books=[book_of("Open", "USD"), book_of("Vip", "USD", priority="9")],
            price_book_assignments=[
                {"tenant_id": ALFA, "price_book": "Vip", "valid_from": "2025-01-01", "valid_to": ""},
            ],
            price_entries=[
                entry("e1", "2"),
                entry("v1", "7", price_book="Vip", pricing_model="graduated", tier_up_to="10"),
                entry("v2", "5", "2026-02-10", price_book="Vip", pricing_model="graduated"),
            ],
            usage_events=[use("u1", "2026-01-10", "10"), use("u2", "2026-01-11", "0.000001")],
        ), "2026-03-01", [
            ("2026-03-01", "USD", "adjustment", "cpu", "10.000001", "70.00"),
        ],
    ),
    "a plan without a price is billed by days once it has one": (
        tables(
            subscriptions=[subscription("s1", "2026-01-11", plan="New")],
            plans=[plan("New", "62.00", "2026-02-10")],
        ), "2026-04-01", [
            # January: 21 of 31 days of 62.00; February: the whole month; March in advance.
            ("2026-03-01", "USD", "proration", "plan:New", "21", "42.00"),
            ("2026-03-01", "USD", "proration", "plan:New", "28", "62.00"),
            ("2026-03-01", "USD", "subscription", "plan:New", "31", "62.00"),
            ("2026-04-01", "USD", "subscription", "plan:New", "30", "62.00"),
        ],
    ),
    "a plan's price restated in January is billed from February on": (
        tables(
            subscriptions=[subscription("s1", "2026-01-01", "2026-03-01")],
            plans=[plan("Pro", "31.00"), plan("Pro", "60.00", "2026-01-15")],
        ), "2026-03-01", [
            ("2026-01-01", "USD", "subscription", "plan:Pro", "31", "31.00"),
            ("2026-02-01", "USD", "subscription", "plan:Pro", "28", "60.00"),
        ],
    ),
    "an end told in March for 21 January gives back the days since, of three months": (
        tables(
            subscriptions=[
                subscription("s1", "2026-01-01"), subscription("s1", "2026-01-01", "2026-01-21", "2026-03-05"),
            ],
        ), "2026-04-01", [
            ("2026-01-01", "USD", "subscription", "plan:Pro", "31", "31.00"),
            ("2026-02-01", "USD", "subscription", "plan:Pro", "28", "31.00"),
            ("2026-03-01", "USD", "subscription", "plan:Pro", "31", "31.00"),
            ("2026-04-01", "USD", "credit", "credit_note", "1", "73.00"),
            ("2026-04-01", "USD", "proration", "plan:Pro", "-11", "-11.00"),
            ("2026-04-01", "USD", "proration", "plan:Pro", "-28", "-31.00"),
            ("2026-04-01", "USD", "proration", "plan:Pro", "-31", "-31.00"),
        ],
    ),
    "an end told in February for 16 January takes back the usage since": (
        tables(
            subscriptions=[
                subscription("s1", "2026-01-01", plan="Free"),
                subscription("s1", "2026-01-01", "2026-01-16", "2026-02-05", plan="Free"),
            ],
            usage_events=[use("u1", "2026-01-15", "1"), use("u2", "2026-01-16", "1")],
        ), "2026-03-01", [
            ("2026-02-01", "USD", "usage", "cpu", "2", "4.00"),
            ("2026-03-01", "USD", "adjustment", "cpu", "-1", "-2.00"),
            ("2026-03-01", "USD", "credit", "credit_note", "1", "2.00"),
        ],
    ),
    "another plan told in February for January: the one is given back, the other charged": (
        tables(
            plans=[plan("Pro", "31.00"), plan("Big", "93.00")],
            subscriptions=[
                subscription("s1", "2026-01-01", "2026-02-01"),
                subscription("s1", "2026-01-01", "2026-02-01", "2026-02-05", plan="Big"),
            ],
        ), "2026-03-01", [
            ("2026-01-01", "USD", "subscription", "plan:Pro", "31", "31.00"),
            ("2026-03-01", "USD", "proration", "plan:Big", "31", "93.00"),
            ("2026-03-01", "USD", "proration", "plan:Pro", "-31", "-31.00"),
        ],
    ),
    "a subscription that comes back: days between are not billed, their usage is held back": (
        tables(
            subscriptions=[
                subscription("s1", "2026-01-01", "2026-01-11"), subscription("s2", "2026-01-22", received="2026-01-21"),
            ],
            usage_events=[use("u1", "2026-01-10", "1"), use("u2", "2026-01-11", "1"), use("u3", "2026-01-22", "1")],
        ), "2026-02-01", [
            ("2026-01-01", "USD", "subscription", "plan:Pro", "31", "31.00"),
            ("2026-02-01", "USD", "proration", "plan:Pro", "-21", "-21.00"),
            ("2026-02-01", "USD", "proration", "plan:Pro", "10", "10.00"),
            ("2026-02-01", "USD", "subscription", "plan:Pro", "28", "31.00"),
            ("2026-02-01", "USD", "usage", "cpu", "2", "4.00"),
        ],
    ),
    "usage of a day that is restated as subscribed in another currency moves there": (
        tables(
            price_books=[book_of("Open", "USD"), book_of("Yen", "JPY")],
            price_entries=[entry("e1", "2"), entry("y1", "150.5", price_book="Yen")],
            subscriptions=[
                subscription("s1", "2026-01-01", plan="Free"),
                subscription("s1", "2026-01-01", "2026-01-16", "2026-02-05", plan="Free"),
                subscription("s2", "2026-01-16", received="2026-02-05", plan="Free", currency="JPY"),
            ],
            usage_events=[use("u1", "2026-01-15", "1"), use("u2", "2026-01-16", "1")],
        ), "2026-03-01", [
            ("2026-02-01", "USD", "usage", "cpu", "2", "4.00"),
            ("2026-03-01", "JPY", "adjustment", "cpu", "1", "151.00"),
            ("2026-03-01", "USD", "adjustment", "cpu", "-1", "-2.00"),
            ("2026-03-01", "USD", "credit", "credit_note", "1", "2.00"),
        ],
    ),
    "a commitment restated in February is stated anew; a change of plan in the month weighs the days": (
        tables(
            subscriptions=[
                subscription("s1", "2026-01-01", "2026-01-11", plan="Free", minimum_commitment="31.00"),
                subscription("s2", "2026-01-11", "2026-02-01", plan="Free", minimum_commitment="62.00"),
                subscription("s2", "2026-01-11", "2026-02-01", "2026-02-05", plan="Free", minimum_commitment="31.00"),
            ],
            usage_events=[use("u1", "2026-01-10", "5")],
        ), "2026-03-01", [
            # 10 x 1 + 21 x 2 = 52, less usage 10; then 31, less usage 10.
            ("2026-02-01", "USD", "minimum", "minimum", "1", "42.00"),
            ("2026-02-01", "USD", "usage", "cpu", "5", "10.00"),
            ("2026-03-01", "USD", "adjustment", "minimum", "1", "-21.00"),
            ("2026-03-01", "USD", "credit", "credit_note", "1", "21.00"),
        ],
    ),
    "a flat fee without usage: that of the last day's set, as known at first, given back when usage comes": (
        tables(
            subscriptions=[subscription("s1", "2026-01-01", "2026-02-01", plan="Free")],
            price_entries=[
                entry("e1", "2", pricing_model="graduated", flat_fee="4", valid_to="2026-01-20"),
                entry("e2", "3", pricing_model="graduated", flat_fee="9", valid_from="2026-01-20"),
                entry("g1", "3", "2026-02-10", item_key="gpu", pricing_model="graduated", flat_fee="9"),
            ],
            cost_drivers=[
                {"driver_key": key, "category": "x", "unit_cost": "1", "unit_label": "hour"} for key in ("cpu", "gpu")
            ],
            usage_events=[use("u1", "2026-01-19", "1", "2026-02-20")],
        ), "2026-03-01", [
            ("2026-02-01", "USD", "usage", "cpu", "0", "9.00"),
            ("2026-03-01", "USD", "adjustment", "cpu", "0", "-9.00"),
            ("2026-03-01", "USD", "adjustment", "cpu", "1", "6.00"),
            ("2026-03-01", "USD", "credit", "credit_note", "1", "3.00"),
        ],
    ),
    "a book that is switched off on 10 February has no prices for February; its set comes back in March": (
        tables(
            subscriptions=[subscription("s1", "2026-01-01", "2026-03-01", plan="Free")],
            price_books=[
                book_of("Open", "USD"), book_of("Open", "USD", "2026-02-10", is_active="false"),
                book_of("Open", "USD", "2026-03-10"),
            ],
            usage_events=[use("u1", "2026-01-10", "1"), use("u2", "2026-02-09", "1")],
        ), "2026-04-01", [
            ("2026-02-01", "USD", "usage", "cpu", "1", "2.00"),
            ("2026-04-01", "USD", "adjustment", "cpu", "1", "2.00"),
        ],
    ),
}  # fmt: skip


def lines(book: Book) -> list[tuple[str, ...]]:
    """The lines on invoices as the cases write them."""
    return sorted(
        (
            str(row["date"]), row["currency"], row["line_type"], row["item_key"],
            f"{row['quantity']:f}".rstrip("0").rstrip("."), str(row["amount"]),
        )
        for row in book.ask(LINES)
    )  # fmt: skip


def write(book: Book, sources: Tables) -> None:
    for table, rows in sources.items():
        book.write(f"{table}.csv", rows)


@pytest.mark.parametrize("case", sorted(CASES))
def test_what_was_restated_moves_later_invoices_only(case: str, models: Models, tmp_path: Path) -> None:
    sources, last, expected = CASES[case]
    book = Book(tmp_path, models)
    write(book, sources)
    first = date.fromisoformat(last)
    book.run(first)
    assert book.broken_laws() == []
    assert lines(book) == sorted(expected)
    unequal = book.ask(
        "select l.line_id, l.amount_exact, sum(t.amount_exact) as tiers from invoice_lines as l"
        " left join invoice_line_tiers as t using (line_id)"
        " where l.price_entry_id is not null and l.item_key not like 'plan:%' group by all"
        " having l.amount_exact <> coalesce(sum(t.amount_exact), 0)"
    )
    assert unequal == []
    # What is drafted comes true if nothing more becomes known.
    sums = "select tenant_slug, date, currency, amount from"
    drafts = book.ask(f"{sums} invoice_drafts order by all")
    columns = "line_id, line_type, item_key, service_from, service_to, quantity, amount_exact, amount, corrects_line_id"
    draft_lines = book.ask(f"select {columns} from invoice_draft_lines order by all")
    following = date(first.year, first.month + 1, 1)
    book.run(following)
    assert drafts == book.ask(f"{sums} invoices where date = date '{following}' order by all")
    assert draft_lines == book.ask(
        f"select {columns} from invoice_lines where invoice_id in"
        f" (select id from invoices where date = date '{following}') order by all"
    )


@pytest.mark.parametrize("case", [
    "a set repaired after the month's invoice bills the month then, and the book behind it never steps in",
    "usage of a day that is restated as subscribed in another currency moves there",
])  # fmt: skip
def test_nights_one_by_one_and_one_load_end_the_same(case: str, models: Models, tmp_path: Path) -> None:
    sources, last, _ = CASES[case]
    book, at_once = Book(tmp_path / "nights", models), Book(tmp_path / "at once", models)
    write(book, sources)
    write(at_once, sources)
    for night in closes(date.fromisoformat(last)):
        assert book.night(night) == []
    at_once.run(date.fromisoformat(last))
    for table in ("invoices", "invoice_lines", "invoice_line_tiers", "invoice_drafts", "tenant_usage_daily"):
        query = f"select * from {table} order by all"
        assert book.ask(query) == at_once.ask(query)


@pytest.mark.parametrize("case", [
    "a price restated in February rates February; January keeps its price, late usage too",
    "a book that is switched off on 10 February has no prices for February; its set comes back in March",
    "an end told in February for 16 January takes back the usage since",
    "a commitment restated in February is stated anew; a change of plan in the month weighs the days",
    "a flat fee without usage: that of the last day's set, as known at first, given back when usage comes",
])  # fmt: skip
def test_what_is_kept_of_months_is_what_would_be_made_anew(case: str, models: Models, tmp_path: Path) -> None:
    """Nights on which something becomes known, closes, one more of them; payments of January come late."""
    sources, last, _ = CASES[case]
    book = Book(tmp_path, models)
    write(book, sources)
    end = date.fromisoformat(last)
    received = (row.get("received_at", "")[:10] for rows in sources.values() for row in rows)
    known = {date.fromisoformat(day) for day in received if day > "2026-01-01"}
    kept, payments = [], []
    for night in sorted({*closes(date(end.year, end.month + 1, 1)), *known}):
        if night > date(2026, 2, 1):
            payments.append({
                "id": f"p{night}", "invoice_id": "INV-24-001", "amount": "1.00", "currency": "USD",
                "paid_at": "2026-01-20T00:00:00Z",
            })  # fmt: skip
            book.write("payments.csv", payments)
        assert book.night(night) == []
        kept.append(book.months_made())
        assert book.made_anew(tmp_path / "anew") == book.made()
    # Otherwise nothing was kept that could differ.
    assert any(before.items() & after.items() for before, after in itertools.pairwise(kept))


def closes(last: date) -> list[date]:
    """The first of each month of 2026 up to a date of that year."""
    return [date(2026, month, 1) for month in range(1, last.month + 1)]


def test_the_cost_of_a_day_is_what_was_known_at_its_end(models: Models, tmp_path: Path) -> None:
    book = Book(tmp_path, models)
    driver = {"driver_key": "cpu", "category": "x", "unit_label": "hour"}
    write(book, tables(
        subscriptions=[subscription("s1", "2026-01-01")],
        cost_drivers=[
            {**driver, "unit_cost": "0.5", "received_at": "2026-01-10T00:00:00Z"},
            {**driver, "unit_cost": "0.8", "received_at": "2026-01-20T23:59:59Z"},
        ],
        usage_events=[use(day, f"2026-01-{day}", "10") for day in ("05", "10", "19", "20", "25")],
    ))  # fmt: skip
    book.run(date(2026, 2, 1))
    assert [(row["usage_date"].day, str(row["cost"].normalize())) for row in book.ask(
        "select usage_date, cost from tenant_usage_daily order by usage_date"
    )] == [(5, "5"), (10, "5"), (19, "5"), (20, "8"), (25, "8")]  # fmt: skip
