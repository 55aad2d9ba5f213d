"""Service months of usage events: what did not change is kept, what changed in any way is found anew.

A mark is planted in what is kept of January: where it is still there after a night, January was not looked at again,
and where it is gone, it was. That what is kept is also right is held by `test_histories` and `test_books_of_business`,
whose nights one by one agree with a load at once.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from small_home import BASE, Home, check_of

from loompin import contracts
from loompin.contracts import Contracts, RowCheck
from loompin.service_months import remember_tested

JANUARY, FEBRUARY = "2026-01-01", "2026-02-01"
USAGE = ("event_id", "tenant_id", "driver_key", "quantity", "occurred_at", "received_at", "cancels_event_id")


def event(identity: str, day: str, quantity: str = "1", **others: str) -> dict[str, str]:
    row = {"event_id": identity, "tenant_id": "acme_1", "driver_key": "ai.input.1k", "quantity": quantity,
           "occurred_at": f"{day}T10:00:00Z", "received_at": f"{day}T11:00:00Z", "cancels_event_id": ""}  # fmt: skip
    return {**row, **others}


def mark(home: Home) -> None:
    with duckdb.connect(str(home.settings.warehouse)) as connection:
        connection.execute(f"update kept.sums set tenant_slug = 'mark' where service_month = date '{JANUARY}'")


def is_marked(home: Home) -> bool:
    return home.landing("select count(*) from landing.usage_sums where tenant_slug = 'mark'") != [(0,)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """January and a day of February, known by the night of 1 February; a row of January is held back."""
    home = Home(tmp_path)
    home.write("usage_events/jan.csv", [event("a", "2026-01-05"), event("b", "2026-01-06", "2"),
                                        event("held", "2026-01-07", driver_key="later")])  # fmt: skip
    home.write("usage_events/feb.csv", [event("c", "2026-02-01")])
    home.night("2026-02-01")
    # The row that is held back stands in the record from now on: January is looked at once more.
    home.night("2026-02-02")
    return home


def test_a_month_that_did_not_change_is_kept(home: Home) -> None:
    mark(home)
    home.write("usage_events/new.csv", [event("d", "2026-02-03")])
    landed = home.night("2026-02-03")
    assert is_marked(home)
    months = home.landing(
        "select service_month, sum(quantity), sum(events) from landing.usage_sums group by all order by 1"
    )
    assert [(str(month), float(quantity), events) for month, quantity, events in months] == [
        (JANUARY, 3.0, 2), (FEBRUARY, 2.0, 2)
    ]  # fmt: skip
    # What a kept month has refused is told all the same.
    check = check_of(landed, "usage_events.unknown_driver")
    assert (check.status, check.rows_failed, check.rows_checked) == ("fail", 1, 5)
    assert home.landing("select rule, source_line from landing.quarantine") == [("unknown_driver", 4)]
    assert home.landing(
        "select source_file, rows_read, rows_accepted, rows_quarantined from landing.load_audit"
        " where table_name = 'usage_events' order by all"
    ) == [
        ("usage_events/feb.csv", 1, 1, 0), ("usage_events/jan.csv", 3, 2, 1), ("usage_events/new.csv", 1, 1, 0)
    ]  # fmt: skip


CHANGES: dict[str, Callable[[Home], None]] = {
    "a late event": lambda home: home.write("usage_events/late.csv", [event("e", "2026-01-09")]),
    "another version of its file": lambda home: home.write(
        "usage_events/jan.csv", [event("a", "2026-01-05"), event("b", "2026-01-06", "3")]
    ),
    "what a reference means": lambda home: home.write(
        "cost_drivers.csv", [*BASE["cost_drivers"], {**BASE["cost_drivers"][0], "driver_key": "later"}]
    ),
    "a rule": lambda home: home.write(
        "validation_rules.csv",
        [{"entity_type": "usage_events", "field_name": "event_id", "rule_type": "regex", "params": '{"pattern": "a"}'}],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_month_is_looked_at_again_once_anything_changed(home: Home, change: str) -> None:
    mark(home)
    CHANGES[change](home)
    home.night("2026-02-03")
    assert not is_marked(home)


def test_a_month_is_looked_at_again_after_other_code_made_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    mark(home)
    monkeypatch.setattr("loompin.service_months.code_digest", lambda: "other")
    home.night("2026-02-03")
    assert not is_marked(home)


def test_tables_of_other_code_are_no_beginning_for_models(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def tables() -> list[tuple[Any, ...]]:
        return home.landing("select table_name from duckdb_tables() where schema_name in ('intermediate', 'main')")

    with duckdb.connect(str(home.settings.warehouse)) as connection:
        connection.execute("create schema intermediate; create table intermediate.lines (line_id varchar)")
        connection.execute("create table main.invoices as from intermediate.lines")
    home.night("2026-02-03")
    assert len(tables()) == 2
    monkeypatch.setattr("loompin.service_months.code_digest", lambda: "other")
    home.night("2026-02-04")
    assert tables() == []


def test_a_rule_that_reads_other_rows_is_tried_every_night(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    every = contracts.load()
    known = "tenant_id in (select id from source.tenants)"
    check = RowCheck(name="known_tenant", column="tenant_id", expect=known, reason="it is unknown")
    usage = every.tables["usage_events"].model_copy(update={"checks": (check,)})
    monkeypatch.setattr(contracts, "load", lambda: Contracts(tables={**every.tables, "usage_events": usage}))
    home.night("2026-02-03")
    mark(home)
    home.night("2026-02-04")
    assert not is_marked(home)


def test_a_row_released_now_is_known_from_the_night_that_stands(home: Home) -> None:
    # The night that releases a row may fail; then the next one releases it, and the row is known from that one.
    CHANGES["what a reference means"](home)
    home.night("2026-02-28", complete=False)
    assert home.rows("usage_events", "event_id, _known_night::varchar")[-1] == ("held", "2026-02-28")
    home.night("2026-03-01")
    nights = home.landing("select known_night::varchar from landing.usage_sums where driver_key = 'later'")
    assert nights == [("2026-03-01",)]


def test_ids_of_two_months_are_counted_in_both(home: Home) -> None:
    def repeated() -> list[tuple[Any, ...]]:
        return home.landing("select service_month::varchar, ids from landing.repeated_ids order by all")

    assert repeated() == []
    home.write("usage_events/again.csv", [event("a", "2026-02-03"), event("c", "2026-02-03", tenant_id="global_tech")])
    home.night("2026-02-03")
    assert repeated() == [(JANUARY, 1), (FEBRUARY, 1)]
    home.write("usage_events/march.csv", [event("a", "2026-03-03"), event("b", "2026-03-03")])
    home.night("2026-03-03")
    assert repeated() == [(JANUARY, 2), (FEBRUARY, 1), ("2026-03-01", 2)]


def test_a_reader_of_the_warehouse_does_not_fail_a_published_night(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create schema kept; create table kept.made_months as select 'days' as relation")
        connection.execute("create table kept.tested_months (relation varchar)")

    def tested() -> list[tuple[str]]:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            return connection.execute("from kept.tested_months").fetchall()

    code = f"import duckdb; c = duckdb.connect({str(warehouse)!r}, read_only=True); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        remember_tested(warehouse)
        assert tested() == []
        reader.communicate("\n", timeout=60)
    remember_tested(warehouse)
    assert tested() == [("days",)]
