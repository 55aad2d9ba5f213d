"""Random histories: however rows come (nights one by one, late, at once, in any order and split), the same is known.

The histories are small and made from a seed: tenants and drivers that come after the usage that needs them, versions of
subscriptions, files restated with rows changed, dropped and added, rows that do not fit. What is compared is everything
that later steps read: the views of the accepted rows with the night since which each is known, and the quarantine.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from small_home import ACME, Home, check_of

from loompin import contracts
from loompin import night as nights
from loompin.contracts import Contracts

TABLES = ("validation_rules", "tenants", "users", "plans", "cost_drivers", "subscriptions", "usage_events", "webhooks")
FIRST = date(2026, 1, 1)
DAYS = 6
LATE_TENANTS = {
    "late_one": "11111111-e29b-41d4-a716-446655440000",
    "late_two": "22222222-e29b-41d4-a716-446655440000",
    "never": "33333333-e29b-41d4-a716-446655440000",
}

Row = dict[str, str]


@pytest.fixture(autouse=True)
def few_tables(monkeypatch: pytest.MonkeyPatch) -> Contracts:
    """Nights of a few tables: what is tested here is the same for all."""
    every = contracts.load()
    few = Contracts(tables={name: every.tables[name] for name in TABLES})
    monkeypatch.setattr(contracts, "load", lambda: few)
    return few


@dataclass
class History:
    """Rows by table, each with the day on which it comes."""

    rows: list[tuple[date, str, Row]] = field(default_factory=list)

    def add(self, day: date, table: str, row: Row) -> None:
        self.rows.append((day, table, row))

    def until(self, day: date) -> Iterator[tuple[date, str, Row]]:
        return (row for row in self.rows if row[0] <= day)


def moment(draw: random.Random, day: date) -> str:
    start = datetime.combine(day, datetime.min.time())
    return (start + timedelta(seconds=draw.randrange(86_400))).isoformat() + "Z"


def history(draw: random.Random) -> History:
    """Rows that come on the day on which they are received."""
    made = History()
    for name, identity in LATE_TENANTS.items():
        if name != "never":
            day = FIRST + timedelta(days=draw.randrange(1, DAYS))
            made.add(day, "tenants", tenant(identity, name, moment(draw, day)))
    for driver in ("d.early", "d.late"):
        for _ in range(draw.randint(1, 2)):
            day = FIRST + timedelta(days=draw.randrange(0 if driver == "d.early" else 2, DAYS))
            cost = draw.choice(["1.5", "2.5"])
            row = {"driver_key": driver, "category": "AI", "unit_cost": cost, "unit_label": "GB"}
            made.add(day, "cost_drivers", {**row, "received_at": moment(draw, day)})
    for number in range(12):
        day = FIRST + timedelta(days=draw.randrange(DAYS))
        received = moment(draw, day)
        row = {
            "event_id": f"u{draw.randrange(8)}",
            "tenant_id": draw.choice([ACME, "acme_1", "late_one", "22222222-e29b-...", "never", "global_tech"]),
            "driver_key": draw.choice(["ai.input.1k", "d.early", "d.late"]),
            "quantity": draw.choice(["1", "2", "-1", "x"]),
            "occurred_at": draw.choice([received, f"2025-12-3{number % 2}T10:00:00Z"]),
            "received_at": received,
            "cancels_event_id": "",
        }
        made.add(day, "usage_events", row)
        if draw.random() < 0.2:
            made.add(day, "usage_events", row)
    for number in range(5):
        day = FIRST + timedelta(days=draw.randrange(DAYS))
        row = {
            "id": f"s{number % 3}", "tenant_id": draw.choice(["acme_1", "late_one", "late_two"]),
            "plan": draw.choice(["Pro", "Free"]), "currency": "USD", "started_on": "2026-01-01",
            "ended_on": draw.choice(["", "2026-02-01", "2025-01-01"]), "net_terms_days": "", "minimum_commitment": "",
            "received_at": moment(draw, day),
        }  # fmt: skip
        made.add(day, "subscriptions", row)
    return made


def tenant(identity: str, slug: str, received: str = "") -> Row:
    row = {"id": identity, "name": slug, "plan": "Pro", "status": "active", "region": "eu", "slug": slug}
    return {**row, "received_at": received} if received else row


def write(home: Home, rows: list[tuple[str, str, Row]]) -> None:
    """Write rows as (file, table, row), all of a file at once."""
    files: dict[str, list[Row]] = {}
    for file, _, row in rows:
        files.setdefault(file, []).append(row)
    for file, content in files.items():
        home.write(file, content)


def known(home: Home, warehouse: Path | None = None) -> dict[str, list[Any]]:
    """All that later steps read of the accepted rows, but the place where a row stands."""
    told = contracts.load().tables
    columns = {table: ", ".join([*(f'"{column.name}"' for column in told[table].columns), "_known_night"])
               for table in TABLES}  # fmt: skip
    return home.tables(columns, warehouse)


def quarantined(home: Home) -> list[Any]:
    return home.landing(
        "select table_name, rule, column_name, value, reason, received_at, count(*) from landing.quarantine"
        " group by all order by all"
    )


@pytest.mark.parametrize("seed", range(8))
def test_nights_one_load_any_order_and_a_rebuild_agree(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    made = history(draw)
    last = FIRST + timedelta(days=DAYS - 1)

    daily = Home(tmp_path / "daily")
    for offset in range(DAYS):
        day = FIRST + timedelta(days=offset)
        write(daily, [(f"{table}/{came}.csv", table, row) for came, table, row in made.rows if came == day])
        if draw.random() < 0.8 or day == last:
            daily.night(day)

    at_once = Home(tmp_path / "at_once")
    rows = list(made.rows)
    draw.shuffle(rows)
    write(at_once, [(f"{table}/{draw.choice('abc')}.csv", table, row) for _, table, row in rows])
    at_once.night(last)
    assert known(daily) == known(at_once)
    assert quarantined(daily) == quarantined(at_once)

    before = known(daily)
    daily.settings.warehouse.unlink()
    nights.land(daily.settings, nights.plan(daily.settings, last))
    assert known(daily) == before

    middle = FIRST + timedelta(days=DAYS // 2)
    earlier = nights.plan(daily.settings, middle)
    if earlier.mode == "earlier":
        nights.land(daily.settings, earlier)
        until = Home(tmp_path / "until")
        write(until, [(f"{table}/all.csv", table, row) for _, table, row in made.until(middle)])
        until.night(middle)
        assert known(daily, earlier.warehouse) == known(until)


@pytest.mark.parametrize("seed", range(6))
def test_restated_files_change_nothing_that_was_known(tmp_path: Path, seed: int) -> None:
    """Files are restated at random; a row that is there before and after keeps its night; every night is repeatable."""
    draw = random.Random(seed)
    home = Home(tmp_path)
    files: dict[str, list[Row]] = {}
    number = 0
    before: dict[tuple[Any, ...], Any] = {}
    seen: dict[date, dict[str, list[Any]]] = {}
    for offset in range(DAYS):
        day = FIRST + timedelta(days=offset)
        for file in draw.sample(["webhooks/a.csv", "webhooks/b.csv", "usage_events/a.csv", "usage_events/b.csv"], 2):
            content = files.setdefault(file, [])
            if content and draw.random() < 0.5:
                content.pop(draw.randrange(len(content)))
            for _ in range(draw.randint(1, 3)):
                number += 1
                content.append(_webhook(number) if file.startswith("w") else _event(number, moment(draw, day)))
            draw.shuffle(content)
            home.write(file, content)
        if draw.random() < 0.5:
            # A snapshot of tenants comes every day, with something new that has nothing to do with usage.
            home.write("tenants.csv", [tenant(ACME, "acme_1"), tenant(LATE_TENANTS["never"], f"new_{offset}")])
        landed = home.night(day)
        for table in landed.tables:
            for file in table.files:
                taken = file.rows_quarantined + file.rows_duplicate + file.rows_superseded
                assert file.rows_read == file.rows_accepted + taken
        now = known(home)
        rows = {row[:-1]: row[-1] for table in ("webhooks", "usage_events") for row in now[table]}
        for row, night in rows.items():
            assert before.get(row, night) == night
            assert night <= day
        # Usage stays whatever happens to its file.
        assert set(known_rows(before, "usage_events")) <= set(rows)
        before = rows
        seen[day] = now
    for day, then in seen.items():
        plan = nights.plan(home.settings, day)
        nights.land(home.settings, plan)
        assert known(home, plan.warehouse) == then


def known_rows(rows: dict[tuple[Any, ...], Any], table: str) -> list[tuple[Any, ...]]:
    return [row for row in rows if (table == "usage_events") == str(row[0]).startswith("u")]


def _webhook(number: int) -> Row:
    row = dict.fromkeys((c.name for c in contracts.load().tables["webhooks"].file_columns), "")
    return {**row, "id": f"wh_{number}", "tenant_id": "acme_1"}


def _event(number: int, received: str) -> Row:
    return {
        "event_id": f"u{number}", "tenant_id": "acme_1", "driver_key": "ai.input.1k", "quantity": "1",
        "occurred_at": received, "received_at": received, "cancels_event_id": "",
    }  # fmt: skip


# -- single cases --------------------------------------------------------------------------------------------------


def test_a_row_is_not_known_before_the_tenant_that_it_needs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write("usage_events.csv", [{**_event(1, "2026-01-02T10:00:00Z"), "tenant_id": "late_one"}])
    home.write("tenants/late.csv", [tenant(LATE_TENANTS["late_one"], "late_one", "2026-01-04T10:00:00Z")])
    home.night("2026-01-09")
    assert home.rows("usage_events", "event_id, _known_night") == [("u1", date(2026, 1, 4))]
    # A new version of the tenant, and a restated file of it, change nothing for its usage.
    home.write("tenants/late.csv", [
        tenant(LATE_TENANTS["late_one"], "late_one", "2026-01-10T10:00:00Z"),
        tenant(LATE_TENANTS["late_two"], "late_two", "2026-01-10T10:00:00Z"),
    ])  # fmt: skip
    home.night("2026-01-10")
    assert home.rows("usage_events", "event_id, _known_night") == [("u1", date(2026, 1, 4))]


def test_a_contract_that_changes_releases_rows_and_keeps_the_nights_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_tables: Contracts
) -> None:
    home = Home(tmp_path)
    home.write("plans.csv", [
        {"name": "Pro", "price_monthly": "1.00", "max_users": "5", "features": "[]"},
        {"name": "Odd", "price_monthly": "1.00", "max_users": "5.5", "features": "[]"},
    ])  # fmt: skip
    home.night("2026-01-05")
    home.write("webhooks.csv", [_webhook(1)])
    home.night("2026-01-06")
    assert home.rows("plans", "name, _known_night") == [("Pro", date(1, 1, 1))]
    plans = few_tables.tables["plans"]
    columns = tuple(
        column.model_copy(update={"data_type": "double", "format": "double"}) if column.name == "max_users" else column
        for column in plans.columns
    )
    changed = Contracts(tables={**few_tables.tables, "plans": plans.model_copy(update={"columns": columns})})
    changed.tables["plans"].__dict__.pop("fingerprint", None)
    changed.tables["plans"].__dict__.pop("by_name", None)
    monkeypatch.setattr(contracts, "load", lambda: changed)
    landed = home.night("2026-01-07")
    assert home.rows("plans", "name, max_users, _known_night") == [
        ("Odd", 5.5, date(2026, 1, 7)),
        ("Pro", 5.0, date(1, 1, 1)),
    ]
    assert check_of(landed, "plans.max_users_type").status == "pass"
    # The file is gone and the contract is as it was: the rows are read from what was landed.
    monkeypatch.setattr(contracts, "load", lambda: few_tables)
    (home.settings.source / "plans.csv").unlink()
    landed = home.night("2026-01-08")
    assert ("Pro", date(1, 1, 1)) in home.rows("plans", "name, _known_night")
    assert "former contract" in check_of(landed, "plans.files_landed").message


def test_a_file_that_is_put_back_as_it_was(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write("webhooks.csv", [_webhook(1), _webhook(2)])
    home.night("2026-01-05")
    home.write("webhooks.csv", [_webhook(1), _webhook(3)])
    home.night("2026-01-06")
    home.write("webhooks.csv", [_webhook(1), _webhook(2)])
    home.night("2026-01-07")
    assert home.rows("webhooks", "id, _known_night") == [("wh_1", date(1, 1, 1)), ("wh_2", date(1, 1, 1))]
    home.night("2026-01-08")
    assert home.rows("webhooks", "id, _known_night") == [("wh_1", date(1, 1, 1)), ("wh_2", date(1, 1, 1))]


def test_a_row_that_was_never_accepted_does_not_stay(tmp_path: Path) -> None:
    home = Home(tmp_path)
    unknown = {**_event(2, "2026-01-05T11:00:00Z"), "tenant_id": "late_one"}
    home.write("usage_events.csv", [_event(1, "2026-01-05T10:00:00Z"), unknown])
    home.night("2026-01-05")
    home.write("usage_events.csv", [_event(3, "2026-01-06T10:00:00Z")])
    landed = home.night("2026-01-06")
    assert home.rows("usage_events", "event_id") == [("u1",), ("u3",)]
    assert quarantined(home) == []
    (usage,) = [table for table in landed.tables if table.table == "usage_events"]
    assert "quantity=1" in usage.warnings[0]
    home.write("tenants/late.csv", [tenant(LATE_TENANTS["late_one"], "late_one")])
    home.night("2026-01-07")
    assert home.rows("usage_events", "event_id") == [("u1",), ("u3",)]


def test_a_value_that_changes_and_changes_back_is_the_latest_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    plain = {"driver_key": "d", "category": "AI", "unit_label": "GB"}
    for day, cost in ((2, "1"), (3, "2"), (4, "1"), (5, "1")):
        home.write(
            f"cost_drivers/{day}.csv", [{**plain, "unit_cost": cost, "received_at": f"2026-01-0{day}T00:00:00Z"}]
        )
    landed = home.night("2026-01-09")
    (row,) = [row for row in home.rows("cost_drivers", "driver_key, unit_cost::int, _known_night") if row[0] == "d"]
    # The fourth row says nothing new: the value has been this one since the third.
    assert row == ("d", 1, date(2026, 1, 4))
    (drivers,) = [table for table in landed.tables if table.table == "cost_drivers"]
    counts = {
        a.source_file[-5:-4]: (a.rows_accepted, a.rows_duplicate, a.rows_superseded)
        for a in drivers.files
        if "/" in a.source_file
    }
    assert counts == {"2": (0, 0, 1), "3": (0, 0, 1), "4": (1, 0, 0), "5": (0, 1, 0)}


def test_a_version_received_earlier_never_replaces_a_later_one_however_late_it_comes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    plain = {"driver_key": "d", "category": "AI", "unit_label": "GB"}
    home.write("cost_drivers/b.csv", [{**plain, "unit_cost": "2", "received_at": "2026-01-03T00:00:00Z"}])
    home.night("2026-01-05")
    home.write("cost_drivers/a.csv", [{**plain, "unit_cost": "1", "received_at": "2026-01-02T00:00:00Z"}])
    home.night("2026-01-06")
    assert ("d", 2, date(2026, 1, 3)) in home.rows("cost_drivers", "driver_key, unit_cost::int, _known_night")


def test_a_value_of_the_wrong_type_may_only_warn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = nights.read_expectations()
    severities = {**read.severities, "plans.max_users_type": "warn"}
    monkeypatch.setattr(nights, "read_expectations", lambda: type(read)(read.entities, read.default, severities))
    home = Home(tmp_path)
    home.write("plans.csv", [
        {"name": "Pro", "price_monthly": "1.00", "max_users": "many", "features": "[]"},
        {"name": "Odd", "price_monthly": "x", "max_users": "many", "features": "[]"},
    ])  # fmt: skip
    landed = home.night("2026-01-05")
    assert home.rows("plans", "name, max_users") == [("Pro", None)]
    check = check_of(landed, "plans.max_users_type")
    assert (check.severity, check.status, check.rows_failed) == ("warn", "fail", 1)
    assert check.sample_keys == ["plans.csv:2 (name=Pro)"]
    assert home.landing("select rule, value from landing.quarantine") == [("price_monthly_type", "x")]
