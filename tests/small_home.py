"""A small source folder and a home, and nights that are landed and completed without dbt."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from loompin import night as nights
from loompin.night import Landed, NightPlan
from loompin.record import Record
from loompin.settings import Settings
from loompin.validation import CheckResult

ACME = "550e8400-e29b-41d4-a716-446655440000"
BASE: dict[str, list[dict[str, str]]] = {
    "tenants": [
        {"id": ACME, "name": "Acme Corp", "plan": "Pro", "status": "active", "region": "eu", "slug": "acme_1"},
        {"id": "671f9511-f30c-4874-a690-349023450000", "name": "Global Tech", "plan": "Pro", "status": "active",
         "region": "eu", "slug": ""},
    ],
    "cost_drivers": [{"driver_key": "ai.input.1k", "category": "AI", "unit_cost": "0.0005", "unit_label": "1k tokens"}],
}  # fmt: skip


class Home:
    """A source folder and a home, and nights that are completed without publishing."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(source=folder / "source", home=folder / "home")
        for table, rows in BASE.items():
            self.write(f"{table}.csv", rows)

    def write(self, name: str, rows: list[dict[str, str]]) -> None:
        path = self.settings.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def night(self, day: str | date, complete: bool = True) -> Landed:
        day = date.fromisoformat(day) if isinstance(day, str) else day
        record = Record(self.settings.raw)
        done = record.nights()
        plan = NightPlan(day, "new", self.settings.warehouse, done[-1].night if done else None)
        landed = nights.land(self.settings, plan)
        if complete:
            pending = record.pending()
            assert pending is not None
            record.write_pending(replace(pending, run_id=day.isoformat()))
            record.complete()
        return landed

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        return self.tables({table: columns})[table]

    def tables(self, columns: Mapping[str, str], warehouse: Path | None = None) -> dict[str, list[tuple[Any, ...]]]:
        """The accepted rows of tables, by the columns wanted of each; the file is opened once."""
        with duckdb.connect(str(warehouse or self.settings.warehouse), read_only=True) as connection:
            return {
                table: connection.execute(f"select {wanted} from source.{table} order by all").fetchall()
                for table, wanted in columns.items()
            }

    def landing(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()


def check_of(landed: Landed, rule_id: str) -> CheckResult:
    """The result of one rule."""
    return next(check for table in landed.tables for check in table.checks if check.rule_id == rule_id)
