"""What each night knew: rows of the inputs of billing with the nights between which they counted."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from small_home import ACME, Home

from loompin import night as nights

D = "2026-01-{:02d}".format
BEGINNING = date(1, 1, 1)
TENANT = {"id": ACME, "name": "Acme Corp", "plan": "Pro", "status": "active", "region": "eu"}
BOOK = {"id": "pb1", "name": "Standard", "currency": "USD", "is_active": "true", "priority": "0"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.write("price_books.csv", [BOOK])
    return made


def day(number: int) -> date:
    return date(2026, 1, number)


def price(number: int, unit_price: str, received: str = "", **more: str) -> dict[str, str]:
    return {
        "id": f"pe{number}", "price_book": "Standard", "item_key": "ai.input.1k", "pricing_model": "per_unit",
        "tier_up_to": "", "unit_price": unit_price, "flat_fee": "", "package_size": "", "free_units": "",
        "valid_from": "2026-01-01", "valid_to": "", "received_at": received, **more,
    }  # fmt: skip


def prices(home: Home, columns: str = "unit_price::double, _known_night, _ended_night") -> list[tuple[object, ...]]:
    return home.landing(f"select id, {columns} from landing.history_price_entries order by all")


def test_a_price_that_is_replaced_is_remembered(home: Home) -> None:
    home.write("price_entries.csv", [price(1, "2"), price(2, "5")])
    home.night(D(5))
    home.write("price_entries.csv", [price(1, "3"), price(2, "5")])
    home.night(D(8))
    assert prices(home) == [
        ("pe1", 2.0, BEGINNING, day(8)),
        ("pe1", 3.0, day(8), None),
        ("pe2", 5.0, BEGINNING, None),
    ]


def test_a_row_that_is_gone_for_some_nights_did_not_count_then(home: Home) -> None:
    home.write("price_entries.csv", [price(1, "2"), price(2, "5")])
    home.night(D(5))
    home.write("price_entries.csv", [price(2, "5")])
    home.night(D(8))
    home.write("price_entries.csv", [price(1, "2"), price(2, "5")])
    home.night(D(9))
    home.night(D(11))
    assert prices(home)[:2] == [("pe1", 2.0, BEGINNING, day(8)), ("pe1", 2.0, day(9), None)]


def test_versions_told_apart_by_received_at_in_one_file(home: Home) -> None:
    home.write(
        "price_entries.csv",
        [
            price(1, "4", "2026-01-20T00:00:00Z"),
            price(1, "2", "2026-01-02T00:00:00Z"),
            price(1, "2", "2026-01-03T00:00:00Z"),
            price(1, "3", "2026-01-04T00:00:00Z"),
        ],
    )
    home.night(D(10))
    # The version of the 3rd says what was known already; that of the 20th is not known yet.
    assert prices(home) == [("pe1", 2.0, day(2), day(4)), ("pe1", 3.0, day(4), None)]


def test_a_version_in_another_file_counts_until_it_is_gone(home: Home) -> None:
    home.write("price_entries/a.csv", [price(1, "2")])
    home.night(D(5))
    home.write("price_entries/b.csv", [price(1, "3"), price(2, "9")])
    home.night(D(7))
    home.write("price_entries/b.csv", [price(2, "9")])
    home.night(D(9))
    assert prices(home) == [
        ("pe1", 2.0, BEGINNING, day(7)),
        ("pe1", 2.0, day(9), None),
        ("pe1", 3.0, day(7), day(9)),
        ("pe2", 9.0, day(7), None),
    ]


def test_a_price_that_is_held_back_stands_refused_until_it_is_mended(home: Home) -> None:
    home.write("price_entries.csv", [price(1, "2"), price(2, "x"), price(3, "-1")])
    home.night(D(5))
    home.write("price_entries.csv", [price(1, "2"), price(2, "8"), price(3, "-1")])
    home.night(D(7))
    told = prices(home, "unit_price::double, _known_night, _ended_night, _refused")
    assert told == [
        ("pe1", 2.0, BEGINNING, None, False),
        ("pe2", 8.0, day(7), None, False),
        ("pe2", None, BEGINNING, day(7), True),
        ("pe3", -1.0, BEGINNING, None, True),
    ]


def test_a_rebuild_and_a_repeat_know_the_same(home: Home) -> None:
    home.write("price_entries.csv", [price(1, "2"), price(2, "x")])
    home.night(D(5))
    home.write("price_entries.csv", [price(1, "3"), price(2, "6")])
    home.night(D(8))
    home.write("price_entries.csv", [price(2, "6")])
    home.night(D(9))
    columns = "unit_price::double, _known_night, _ended_night, _refused"
    before = prices(home, columns)
    home.settings.warehouse.unlink()
    nights.land(home.settings, nights.NightPlan(day(9), "repeat", home.settings.warehouse, day(9)))
    assert prices(home, columns) == before
    home.night(D(12))
    assert prices(home, columns) == before


def response(number: int, csat: str, received: str = "", survey_id: str = "s") -> dict[str, str]:
    columns = ("response_id", "survey_id", "tenant_id", "customer_id", "submitted_at", "received_at", "csat",
               "nps_score", "text", "sentiment_score", "joy", "anger", "fear")  # fmt: skip
    given = {"response_id": f"r{number}", "survey_id": survey_id, "tenant_id": ACME, "csat": csat}
    return dict.fromkeys(columns, "") | given | {"submitted_at": "2026-01-02T00:00:00Z", "received_at": received}


def responses(home: Home) -> list[tuple[object, ...]]:
    return home.landing(
        "select response_id, csat, _known_night, _ended_night from landing.history_survey_responses order by all"
    )


def survey(number: str) -> dict[str, str]:
    return {"id": number, "tenant_id": ACME, "title": "", "status": "Active"}


def test_of_a_table_that_changes_little_only_what_changed_is_remembered(home: Home) -> None:
    home.write("surveys.csv", [survey("s")])
    home.write("survey_responses/a.csv", [response(number, "3") for number in range(4)])
    home.night(D(5))
    assert responses(home) == []
    home.write("survey_responses/b.csv", [response(1, "5", "2026-01-07T00:00:00Z"), response(9, "1")])
    home.night(D(7))
    once = [("r1", 3, day(2), day(7)), ("r1", 5, day(7), None)]
    assert responses(home) == once
    home.write("survey_responses/a.csv", [response(number, "3") for number in range(3)])
    for number in (8, 9):
        home.night(D(number))
        assert responses(home) == [*once, ("r3", 3, day(2), day(8))]


def test_a_row_that_a_night_begins_to_hold_back_counted_until_then(home: Home) -> None:
    """On that night already, not from the next on; its file has been the same all the time."""
    home.write("surveys.csv", [survey("s"), survey("t")])
    home.write("survey_responses.csv", [response(1, "3"), response(2, "4", survey_id="t")])
    home.night(D(5))
    home.write("surveys.csv", [survey("s")])
    for number in (9, 10):
        home.night(D(number))
        assert responses(home) == [("r2", 4, day(2), day(9))]
        assert home.rows("survey_responses", "response_id") == [("r1",)]
    home.write("surveys.csv", [survey("s"), survey("t")])
    for number in (11, 12):
        home.night(D(number))
        assert responses(home) == [("r2", 4, day(2), day(9)), ("r2", 4, day(11), None)]


def subscription(number: int, ended: str = "", **more: str) -> dict[str, str]:
    return {
        "id": f"s{number}", "tenant_id": ACME, "plan": "Pro", "currency": "USD", "started_on": "2026-01-01",
        "ended_on": ended, "net_terms_days": "30", "minimum_commitment": "", **more,
    }  # fmt: skip


def test_an_accepted_subscription_stays_though_its_file_lacks_it(home: Home) -> None:
    home.write("subscriptions.csv", [subscription(1), subscription(2)])
    home.night(D(5))
    home.write("subscriptions.csv", [subscription(2)])
    home.night(D(8))
    told = home.landing("select id, _known_night, _ended_night from landing.history_subscriptions order by all")
    assert told == [("s1", BEGINNING, None), ("s2", BEGINNING, None)]


def use(number: int, quantity: str = "1", tenant: str = ACME) -> dict[str, str]:
    return {
        "event_id": f"u{number}", "tenant_id": tenant, "driver_key": "ai.input.1k", "quantity": quantity,
        "occurred_at": "2026-01-03T10:00:00Z", "received_at": "2026-01-03T10:00:00Z", "cancels_event_id": "",
    }  # fmt: skip


def test_a_tenant_once_known_stays_known_by_its_first_slug(home: Home) -> None:
    home.write("usage_events/a.csv", [use(1)])
    home.night(D(5))
    assert home.rows("usage_events", "event_id, tenant_slug") == [("u1", "acme_1")]
    tenants = home.settings.source / "tenants.csv"
    text = tenants.read_text(encoding="utf-8")
    assert "acme_1" in text
    tenants.write_text(text.replace("acme_1", "acme_2"), encoding="utf-8")
    home.night(D(6))
    assert home.rows("usage_events", "event_id, tenant_slug") == [("u1", "acme_1")]
    tenants.write_text("".join(line for line in text.splitlines(True) if ACME not in line), encoding="utf-8")
    home.write("usage_events/b.csv", [use(2)])
    home.night(D(7))
    assert home.rows("usage_events", "event_id, tenant_slug") == [("u1", "acme_1"), ("u2", "acme_1")]


def test_use_that_was_accepted_stays_when_its_driver_is_removed(home: Home) -> None:
    home.write("usage_events/a.csv", [use(1)])
    home.night(D(5))
    drivers = home.settings.source / "cost_drivers.csv"
    lines = drivers.read_text(encoding="utf-8").splitlines(True)
    drivers.write_text("".join(line for line in lines if not line.startswith("ai.input.1k")), encoding="utf-8")
    home.write("usage_events/b.csv", [use(2)])
    landed = home.night(D(7))
    assert home.rows("usage_events", "event_id") == [("u1",)]
    assert home.landing("select rule, count(*) from landing.quarantine group by rule") == [("unknown_driver", 1)]
    (usage,) = [table for table in landed.tables if table.table == "usage_events"]
    assert "1 row that an earlier night accepted breaks unknown_driver by now; they stay accepted" in usage.warnings
