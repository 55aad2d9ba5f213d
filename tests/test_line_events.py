"""Which events an invoice line bills: each billed event on one line, both ways, in files that are written once."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import duckdb
import pytest
from billing_models import Book, Models, compiled

from loompin import line_events, night, reading

TENANT = "550e8400-e29b-41d4-a716-446655440000"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


@pytest.fixture
def book(tmp_path: Path, models: Models) -> Book:
    made = Book(tmp_path, models)
    made.write("tenants.csv", [
        {"id": TENANT, "name": "Acme Corp", "plan": "Pro", "status": "active", "region": "eu", "slug": "acme_1"},
    ])  # fmt: skip
    made.write("cost_drivers.csv", [
        {"driver_key": key, "category": "AI", "unit_cost": "0.0005", "unit_label": "unit"} for key in ("cpu", "gpu")
    ])  # fmt: skip
    made.write("plans.csv", [{"name": "Pro", "price_monthly": "49.00", "max_users": "", "features": ""}])
    made.write("price_books.csv", [{"name": "Open", "currency": "USD", "is_active": "true", "priority": "0"}])
    made.write("price_entries.csv", [
        {"id": f"pe_{key}", "price_book": "Open", "item_key": key, "pricing_model": "per_unit", "tier_up_to": "",
         "unit_price": "0.10", "flat_fee": "", "package_size": "", "free_units": "", "valid_from": "2025-01-01",
         "valid_to": ""}
        for key in ("cpu", "gpu")
    ])  # fmt: skip
    made.write("subscriptions.csv", [
        {"id": "sub_1", "tenant_id": "acme_1", "plan": "Pro", "currency": "USD", "started_on": "2026-01-01",
         "ended_on": "", "net_terms_days": "30", "minimum_commitment": ""},
    ])  # fmt: skip
    return made


def use(number: str, occurred: str, received: str = "", driver: str = "cpu", cancels: str = "") -> dict[str, str]:
    return {
        "event_id": number, "tenant_id": "acme_1", "driver_key": driver, "quantity": "" if cancels else "10",
        "occurred_at": f"{occurred}T10:00:00Z", "received_at": f"{received or occurred}T10:01:00Z",
        "cancels_event_id": cancels,
    }  # fmt: skip


def on_lines(book: Book) -> list[tuple[str, str, str, int]]:
    """Each event with the date, the item and the sign of its lines."""
    return [
        (row["event_id"], str(row["invoice_date"]), row["item_key"], row["counts"])
        for row in book.ask(
            "select event_id, invoice_date, item_key, counts"
            " from invoice_line_events join invoice_lines using (line_id) order by all"
        )
    ]


def test_each_billed_event_is_on_the_line_that_bills_it(book: Book) -> None:
    book.write("usage_events.csv", [
        use("a", "2026-01-05"), use("b", "2026-01-06", driver="gpu"), use("late", "2026-01-07", "2026-02-03"),
        use("gone", "2026-01-08"), use("gone_x", "2026-01-08", "2026-02-04", cancels="gone"),
        use("never", "2026-01-09"), use("never_x", "2026-01-09", cancels="never"), use("open", "2026-03-01"),
        use("early", "2025-12-31", "2026-01-02"), use("a", "2026-01-05"), use("a", "2026-02-05"),
    ])  # fmt: skip
    assert book.night(date(2026, 3, 1)) == []
    assert on_lines(book) == [
        ("a", "2026-02-01", "cpu", 1), ("a", "2026-03-01", "cpu", 1), ("b", "2026-02-01", "gpu", 1),
        ("gone", "2026-02-01", "cpu", 1), ("gone", "2026-03-01", "cpu", -1), ("late", "2026-03-01", "cpu", 1),
    ]  # fmt: skip
    assert book.ask(
        "select line_id, quantity from invoice_lines where line_type in ('usage', 'adjustment') order by line_id"
    ) == book.ask(
        "select line_id, cast(sum(counts) * 10 as decimal(38, 6)) as quantity from invoice_line_events"
        " group by line_id order by line_id"
    )


def test_nothing_billed_is_an_empty_view(book: Book) -> None:
    book.write("usage_events.csv", [use("a", "2026-01-05")])
    assert book.night(date(2026, 1, 10)) == []
    assert book.ask("select * from invoice_line_events") == []
    kinds = {row["column_name"]: row["column_type"] for row in book.ask("describe invoice_line_events")}
    assert kinds == {
        "event_id": "VARCHAR", "line_id": "VARCHAR", "tenant_id": "VARCHAR", "service_month": "DATE",
        "invoice_date": "DATE", "counts": "SMALLINT",
    }  # fmt: skip


def test_a_file_is_written_once_and_again_only_if_it_is_gone_or_broken(book: Book) -> None:
    book.write("usage_events.csv", [use("a", "2026-01-05"), use("b", "2026-02-06")])
    assert book.night(date(2026, 2, 1)) == []
    first = line_events.folder_of(book.settings.published) / "2026-02-01.parquet"
    written = first.stat()
    assert written.st_mode & 0o777 == book.settings.published.stat().st_mode & 0o777
    assert book.night(date(2026, 3, 1)) == []
    assert first.stat() == written or first.stat().st_mtime_ns == written.st_mtime_ns
    before = on_lines(book)
    assert [row[0] for row in before] == ["a", "b"]
    digests = [done.digests["invoice_line_events"] for done in night.Record(book.settings.raw).nights()]
    assert digests[0] != digests[1]
    first.unlink()
    os.truncate(first.with_name("2026-03-01.parquet"), 100)
    book.settings.published.unlink()
    book.settings.warehouse.unlink()
    plan = night.plan(book.settings, date(2026, 3, 1))
    assert plan.mode == "repeat"
    book.derive(plan)
    night.publish(book.settings, plan, "again", expected=book.marts)
    assert on_lines(book) == before


def test_an_earlier_night_names_no_file_of_a_later_one_and_changes_none(book: Book) -> None:
    book.write("usage_events.csv", [use("a", "2026-01-05"), use("b", "2026-02-06")])
    assert book.night(date(2026, 2, 1)) == []
    assert book.night(date(2026, 3, 1)) == []
    plan = night.plan(book.settings, date(2026, 2, 1))
    assert plan.mode == "earlier"
    book.derive(plan)
    night.publish(book.settings, plan, "earlier", expected=book.marts)
    assert [row[0] for row in on_lines(book)] == ["a", "b"]


def test_a_line_that_bills_other_events_than_published_for_it_is_not_published(book: Book) -> None:
    book.write("usage_events.csv", [use("a", "2026-01-05"), use("b", "2026-01-06")])
    assert book.night(date(2026, 2, 1)) == []
    plan = night.plan(book.settings, date(2026, 2, 2))
    book.derive(plan)
    with duckdb.connect(str(plan.warehouse)) as connection:
        connection.execute("update intermediate.int_billing_lines set events = 3 where line_type = 'usage'")
    with pytest.raises(night.NightError, match=r"the lines of 2026-02-01 bill other events than those published"):
        night.publish(book.settings, plan, "other", expected=book.marts)


def test_events_that_do_not_add_up_to_the_lines_are_not_published(book: Book) -> None:
    book.write("usage_events.csv", [use("a", "2026-01-05"), use("b", "2026-01-06")])
    plan = night.plan(book.settings, date(2026, 2, 1))
    book.derive(plan)
    with duckdb.connect(str(plan.warehouse)) as connection:
        connection.execute("update intermediate.int_billing_lines set events = 3 where line_type = 'usage'")
    with pytest.raises(night.NightError, match="do not add up to what the lines bill"):
        night.publish(book.settings, plan, "wrong", expected=book.marts)
    assert not list(line_events.folder_of(book.settings.published).glob("*.parquet"))


def test_the_command_line_reads_the_view_and_no_other_file(book: Book, tmp_path: Path) -> None:
    book.write("usage_events.csv", [use("a", "2026-01-05")])
    assert book.night(date(2026, 2, 1)) == []
    other = tmp_path / "other.parquet"
    duckdb.execute(f"copy (select 1 as a) to '{other}' (format parquet)")
    with reading.published(book.settings) as connection:
        assert reading.rows(connection, "select event_id from invoice_line_events") == [{"event_id": "a"}]
        with pytest.raises(reading.QueryRefused):
            reading.query(connection, f"select * from read_parquet('{other}')")
