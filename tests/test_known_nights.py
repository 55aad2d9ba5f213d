"""When a row is known: one load, nights one by one and a rebuild give the same tables; nothing final changes.

Nights are completed here without dbt: landing, validation and the record decide what is known.
"""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from small_home import ACME, Home

from loompin import night as nights


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def event(number: int, occurred: str, received: str = "", quantity: str = "1", tenant: str = ACME) -> dict[str, str]:
    return {
        "event_id": f"u{number}", "tenant_id": tenant, "driver_key": "ai.input.1k", "quantity": quantity,
        "occurred_at": occurred, "received_at": received or occurred, "cancels_event_id": "",
    }  # fmt: skip


def customer(number: int, email: str) -> dict[str, str]:
    return {"id": f"c{number}", "tenant_id": ACME, "email": email, "name": f"Person {number}", "health_score": "50"}


def test_a_first_load_knows_rows_by_their_times(home: Home) -> None:
    home.write(
        "usage_events.csv", [event(1, "2026-01-05T10:00:00Z"), event(2, "2026-01-07T10:00:00Z", "2026-01-09T01:00:00Z")]
    )
    home.night("2026-01-20")
    assert home.rows("usage_events", "event_id, _known_night") == [
        ("u1", date(2026, 1, 5)),
        ("u2", date(2026, 1, 9)),
    ]
    assert home.rows("tenants", "_known_night") == [(date(1, 1, 1),), (date(1, 1, 1),)]


def test_rows_of_the_future_wait_for_their_night(home: Home) -> None:
    home.write("usage_events.csv", [event(1, "2026-01-05T10:00:00Z"), event(2, "2026-01-07T10:00:00Z")])
    home.night("2026-01-06")
    assert home.rows("usage_events", "event_id") == [("u1",)]
    assert home.landing(
        "select rows_read, rows_accepted from landing.load_audit where table_name = 'usage_events'"
    ) == [(1, 1)]
    home.night("2026-01-07")
    assert home.rows("usage_events", "event_id, _known_night") == [("u1", date(2026, 1, 5)), ("u2", date(2026, 1, 7))]


def test_a_late_file_is_known_at_the_night_that_accepts_it(home: Home) -> None:
    home.write("usage_events/a.csv", [event(1, "2026-01-05T10:00:00Z")])
    home.night("2026-01-06")
    home.write("usage_events/b.csv", [event(2, "2026-01-05T11:00:00Z"), event(3, "2026-01-08T11:00:00Z")])
    home.night("2026-01-09")
    assert home.rows("usage_events", "event_id, _known_night") == [
        ("u1", date(2026, 1, 5)),
        ("u2", date(2026, 1, 9)),
        ("u3", date(2026, 1, 8)),
    ]


def test_a_row_without_a_time_is_known_from_the_night_that_accepted_its_file(home: Home) -> None:
    home.night("2026-01-06")
    home.write("customers.csv", [customer(1, "a@b.co")])
    home.night("2026-01-08")
    assert home.rows("customers", "id, _known_night") == [("c1", date(2026, 1, 8))]


def test_a_restated_file_keeps_the_time_of_unchanged_rows(home: Home) -> None:
    home.write("usage_events.csv", [event(1, "2026-01-05T10:00:00Z"), event(2, "2026-01-05T12:00:00Z")])
    home.night("2026-01-06")
    # The second row is corrected: the platform's first word stands, the new content is in conflict with it.
    home.write(
        "usage_events.csv",
        [
            event(1, "2026-01-05T10:00:00Z"),
            event(2, "2026-01-05T12:00:00Z", quantity="7"),
            event(3, "2026-01-05T13:00:00Z"),
        ],
    )
    home.night("2026-01-08")
    assert home.rows("usage_events", "event_id, quantity::int, _known_night") == [
        ("u1", 1, date(2026, 1, 5)),
        ("u2", 1, date(2026, 1, 5)),
        ("u3", 1, date(2026, 1, 8)),
    ]
    assert home.landing("select rule, source_line from landing.quarantine") == [("duplicate_conflict", 3)]


def test_a_restated_row_of_a_key_supersedes(home: Home) -> None:
    home.write("customers.csv", [customer(1, "old@b.co"), customer(2, "same@b.co")])
    home.night("2026-01-06")
    home.write("customers.csv", [customer(1, "new@b.co"), customer(2, "same@b.co")])
    home.night("2026-01-08")
    assert home.rows("customers", "id, email, _known_night") == [
        ("c1", "new@b.co", date(2026, 1, 8)),
        ("c2", "same@b.co", date(1, 1, 1)),
    ]


def test_a_row_missing_from_a_restated_file_is_gone_or_stays(home: Home) -> None:
    home.write("customers.csv", [customer(1, "a@b.co"), customer(2, "b@b.co")])
    home.write("usage_events.csv", [event(1, "2026-01-05T10:00:00Z"), event(2, "2026-01-05T11:00:00Z")])
    home.night("2026-01-06")
    home.write("customers.csv", [customer(2, "b@b.co")])
    home.write("usage_events.csv", [event(2, "2026-01-05T11:00:00Z")])
    landed = home.night("2026-01-07")
    assert home.rows("customers", "id") == [("c2",)]
    assert home.rows("usage_events", "event_id, _known_night") == [("u1", date(2026, 1, 5)), ("u2", date(2026, 1, 5))]
    usage = next(table for table in landed.tables if table.table == "usage_events")
    assert any("no longer in its file" in warning and "event_id=u1" in warning for warning in usage.warnings)


def test_a_file_that_is_gone_keeps_its_last_good_rows(home: Home) -> None:
    home.write("customers.csv", [customer(1, "a@b.co")])
    home.night("2026-01-06")
    (home.settings.source / "customers.csv").unlink()
    landed = home.night("2026-01-07")
    assert home.rows("customers", "id") == [("c1",)]
    customers = next(table for table in landed.tables if table.table == "customers")
    assert customers.warnings == ["customers.csv is no longer in the source folder; its last good rows are kept"]


def test_a_failed_file_keeps_its_last_good_rows_and_blocks_only_where_billing_needs_it(home: Home) -> None:
    home.write("customers.csv", [customer(1, "a@b.co")])
    home.night("2026-01-06")
    (home.settings.source / "customers.csv").write_text("id,tenant_id\nc1,x\n", encoding="utf-8")
    landed = home.night("2026-01-07")
    assert home.rows("customers", "id") == [("c1",)]
    assert landed.blocking == []
    customers = next(table for table in landed.tables if table.table == "customers")
    assert customers.errors == [
        ("customers.csv: line 1: the header lacks the required column 'email' (found: id, tenant_id); add it")
    ]
    (home.settings.source / "tenants.csv").write_text("id\n", encoding="utf-8")
    landed = home.night("2026-01-08", complete=False)
    assert home.rows("tenants", "id")[0] == (ACME,)
    assert len(landed.blocking) == 1
    assert landed.blocking[0].startswith("tenants.files_landed: tenants.csv: line 1: the header lacks")


def test_a_row_released_by_a_corrected_rule_is_known_at_the_release(home: Home) -> None:
    rule = {"entity_type": "customer", "field_name": "email", "rule_type": "regex", "params": "^.+@acme[.]com$"}
    home.write("validation_rules.csv", [rule])
    home.write("customers.csv", [customer(1, "a@acme.com"), customer(2, "b@other.com")])
    home.night("2026-01-06")
    assert home.rows("customers", "id") == [("c1",)]
    assert home.landing("select rule, source_line, value from landing.quarantine") == [
        ("email_regex", 3, "b@other.com")
    ]
    home.night("2026-01-07")
    home.write("validation_rules.csv", [{**rule, "params": "^.+@.+$"}])
    home.night("2026-01-09")
    assert home.rows("customers", "id, _known_night") == [("c1", date(1, 1, 1)), ("c2", date(2026, 1, 9))]
    assert home.landing("select * from landing.quarantine") == []
    home.night("2026-01-12")
    assert home.rows("customers", "id, _known_night") == [("c1", date(1, 1, 1)), ("c2", date(2026, 1, 9))]


def test_a_row_held_by_a_later_rule_keeps_its_time_when_released(home: Home) -> None:
    home.write("customers.csv", [customer(1, "a@acme.com"), customer(2, "b@other.com")])
    home.night("2026-01-06")
    rule = {"entity_type": "customer", "field_name": "email", "rule_type": "regex", "params": "^.+@acme[.]com$"}
    home.write("validation_rules.csv", [rule])
    home.night("2026-01-07")
    assert home.rows("customers", "id") == [("c1",)]
    home.write("validation_rules.csv", [{**rule, "params": "^.+@.+$"}])
    home.night("2026-01-08")
    assert home.rows("customers", "id, _known_night") == [("c1", date(1, 1, 1)), ("c2", date(1, 1, 1))]


def test_a_corrected_file_releases_a_row_that_did_not_fit(home: Home) -> None:
    home.write("usage_events.csv", [event(1, "2026-01-05T10:00:00Z", quantity="twelve")])
    home.night("2026-01-06")
    assert home.rows("usage_events") == []
    assert home.landing("select rule, source_line, value from landing.quarantine") == [("bad_quantity", 2, "twelve")]
    home.write("usage_events.csv", [event(1, "2026-01-05T10:00:00Z", quantity="12")])
    home.night("2026-01-08")
    assert home.rows("usage_events", "event_id, quantity::int, _known_night") == [("u1", 12, date(2026, 1, 8))]
    assert home.landing("select * from landing.quarantine") == []


def test_landing_a_night_again_is_the_same(home: Home) -> None:
    home.write("usage_events.csv", [event(1, "2026-01-05T10:00:00Z")])
    home.night("2026-01-06", complete=False)
    before = home.rows("usage_events")
    home.night("2026-01-06")
    assert home.rows("usage_events") == before


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nights_one_by_one_one_load_and_a_rebuild_agree(tmp_path: Path, seed: int) -> None:
    """Daily files that come when they are due give the same rows, known at the same nights, whatever the cadence."""
    draw = random.Random(seed)
    first, days = date(2026, 1, 1), 12
    files: dict[date, list[dict[str, str]]] = {}
    number = 0
    for offset in range(days):
        day = first + timedelta(days=offset)
        rows = []
        for _ in range(draw.randint(1, 6)):
            number += 1
            received = datetime.combine(day, datetime.min.time()) + timedelta(seconds=draw.randrange(86_400))
            occurred = received - timedelta(hours=draw.choice([0, 0, 1, 30, 200]))
            tenant = draw.choice([ACME, "acme_1", "550e8400-e29b-...", "global_tech", "nobody"])
            quantity = draw.choice(["1", "2.5", "0.000001", "-1", "x"])
            rows.append(event(number, occurred.isoformat() + "Z", received.isoformat() + "Z", quantity, tenant))
        if files and draw.random() < 0.6:
            again = draw.choice([row for earlier in files.values() for row in earlier])
            rows.append(
                {**again, "received_at": rows[-1]["received_at"], "quantity": draw.choice([again["quantity"], "9"])}
            )
        files[day] = rows
    last = first + timedelta(days=days - 1)

    stepwise = Home(tmp_path / "stepwise")
    for day, rows in files.items():
        stepwise.write(f"usage_events/{day}.csv", rows)
        stepwise.night(day)
    at_once = Home(tmp_path / "at_once")
    everything = [row for rows in files.values() for row in rows]
    draw.shuffle(everything)
    at_once.write("usage_events/all.csv", everything)
    at_once.night(last)

    columns = "event_id, tenant_id, tenant_ref, quantity, occurred_at, received_at, _known_night"
    assert stepwise.rows("usage_events", columns) == at_once.rows("usage_events", columns)
    told = (
        "select rule, column_name, value, reason, received_at, count(*) from landing.quarantine"
        " group by all order by all"
    )
    assert stepwise.landing(told) == at_once.landing(told)

    held = stepwise.rows("usage_events")
    stepwise.settings.warehouse.unlink()
    plan = nights.plan(stepwise.settings, last)
    assert plan.mode == "repeat"
    nights.land(stepwise.settings, plan)
    assert stepwise.rows("usage_events") == held

    middle = first + timedelta(days=days // 2)
    earlier = nights.plan(stepwise.settings, middle)
    assert earlier.mode == "earlier"
    nights.land(stepwise.settings, earlier)
    once = Home(tmp_path / "until_then")
    once.write("usage_events/all.csv", [row for day, rows in files.items() if day <= middle for row in rows])
    once.night(middle)
    assert stepwise.tables({"usage_events": columns}, earlier.warehouse) == once.tables({"usage_events": columns})
