"""Keys that repeat are found by sorted hashes, in portions: the same rows as by comparing keys."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest
from small_home import ACME, Home

from loompin import validation, versions


@pytest.mark.parametrize("at_once", [1, 3, 50, 1 << 27])
def test_hashes_that_repeat_are_those_that_grouping_finds(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(versions, "_HASHES_AT_ONCE", at_once)
    draw = random.Random(3)
    rows = ", ".join(f"({draw.randint(1, 40)}, 'k{draw.randint(1, 3)}')" for _ in range(60))
    with duckdb.connect() as connection:
        connection.execute(f"create table rows as select * from (values {rows}) v (a, b)")
        told = versions.find_repeated(connection, "rows", 60, ["a", "b"], "repeated")
        found = connection.execute("select h from repeated order by h").fetchall()
        assert (
            found
            == connection.execute(
                "select hash(a, b) as h from rows group by a, b having count(*) > 1 order by h"
            ).fetchall()
        )
        assert told == len(found) > 0
        assert versions.find_repeated(connection, "(select 1 as a)", 60, ["a"], "repeated") == 0
        assert connection.execute("select count(*) from repeated").fetchall() == [(0,)]


def test_large_tables_are_told_apart_as_small_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(4)
    events = [
        {"event_id": f"u{draw.randint(1, 12)}", "tenant_id": ACME, "driver_key": "ai.input.1k",
         "quantity": str(draw.randint(1, 2)), "occurred_at": f"2026-0{draw.randint(1, 2)}-05T10:00:00Z",
         "received_at": f"2026-02-1{draw.randint(0, 9)}T10:00:00Z", "cancels_event_id": ""}
        for _ in range(60)
    ]  # fmt: skip
    customers = [
        {"id": f"c{draw.randint(1, 9)}", "tenant_id": ACME, "email": f"p{draw.randint(1, 3)}@b.co", "name": "A Person",
         "health_score": "50"}
        for _ in range(20)
    ]  # fmt: skip
    found = []
    for place, few in enumerate((1_000_000, 0)):
        monkeypatch.setattr(validation, "_FEW_HASHES", few)
        monkeypatch.setattr(versions, "_HASHES_AT_ONCE", 1 << 27 if few else 7)
        home = Home(tmp_path / str(place))
        for file in range(2):
            home.write(f"usage_events/{file}.csv", events[file * 30 : file * 30 + 30])
        home.write("customers.csv", customers)
        home.night("2026-02-20")
        found.append((
            home.rows("usage_events"), home.rows("customers"),
            home.landing("select * from landing.quarantine order by all"),
            home.landing("select * from landing.load_audit order by all"),
            home.landing("select * from landing.data_quality order by all"),
        ))  # fmt: skip
    assert found[0] == found[1]
    assert sum(row[-2] for row in found[0][3] if row[0] == "usage_events") > 0
