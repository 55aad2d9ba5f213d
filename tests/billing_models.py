"""The models of billing for tests: compiled by dbt once, then run as plain SQL on many small warehouses.

A dbt invocation costs many seconds; what it compiles is only `select` statements in an order. Source files are landed
and published by the project's own code.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import graphlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from conftest import REPO

from loompin import night, publish
from loompin.night import NightPlan
from loompin.rules import Expectations
from loompin.settings import Settings

MARTS = (
    "billing_certificate", "billing_margins", "credit_notes", "invoice_draft_lines", "invoice_drafts",
    "invoice_line_events", "invoice_line_tiers", "invoice_lines", "invoice_recipients", "invoices", "ledger_entries",
    "tenant_usage_daily",
)  # fmt: skip


@dataclass(frozen=True)
class Models:
    """Compiled SQL: the statements that build the models, in order, and the laws, each a query of its violations."""

    statements: list[str]
    laws: dict[str, str]


def compiled(folder: Path) -> Models:
    """Compile the models of billing and its laws; done once by whichever test process comes first to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "target" / "manifest.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _compile(folder)
            (folder / "done").touch()
    nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"]
    models = {key: node for key, node in nodes.items() if node["resource_type"] == "model" and node.get("compiled")}
    graph = {key: [up for up in node["depends_on"]["nodes"] if up in models] for key, node in models.items()}
    order = [models[key] for key in graphlib.TopologicalSorter(graph).static_order()]
    laws = {
        node["name"]: node["compiled_code"] for node in nodes.values()
        if node["resource_type"] == "test" and node["path"].startswith("billing/")
    }  # fmt: skip
    assert {*MARTS, "int_billing_quarantine"} <= {node["name"] for node in order}
    assert laws
    assert all(laws.values())
    return Models([_statement(node) for node in order], laws)


def _compile(folder: Path) -> None:
    models = [f"+{model}" for model in (*MARTS, "int_billing_quarantine")]
    command = [
        sys.executable, "-m", "dbt.cli.main", "compile", "--quiet", "--select", *models, "path:tests/billing",
        "--exclude", "resource_type:unit_test", "--target-path", str(folder / "target"), "--log-path", str(folder),
        "--project-dir", str(REPO / "dbt_project"), "--profiles-dir", str(REPO / "dbt_project"),
    ]  # fmt: skip
    environment = {**os.environ, "LOOMPIN_WAREHOUSE": str(folder / "warehouse.duckdb")}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _statement(node: dict[str, Any]) -> str:
    kind = "view" if node["config"]["materialized"] == "view" else "table"
    return f"create or replace {kind} {node['relation_name']} as {node['compiled_code']}"


class Book:
    """A home with its own source folder, for a small book of business."""

    marts: tuple[str, ...] = MARTS

    def __init__(self, folder: Path, models: Models) -> None:
        self.models = models
        self.settings = Settings(home=folder / "home", source=folder / "source")

    def write(self, file: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Write rows to a file of the source folder; the first row names the columns."""
        path = self.settings.source / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def run(self, day: date, expectations: Expectations | None = None) -> None:
        """Land, derive and publish a night; it is not completed, so that the next one begins as this one did."""
        self.derive(night.plan(self.settings, day))
        built = publish.build(
            self.settings, self.settings.warehouse, day, "run", "v1", expected=self.marts, expectations=expectations
        )
        publish.put(built)

    def night(self, day: date) -> list[str]:
        """Land and derive a night as a home does that goes on: it is published and completed unless it breaks a law.

        Returns:
            The laws that it breaks.
        """
        plan = night.plan(self.settings, day)
        self.derive(plan)
        broken = self.broken_laws()
        if not broken:
            night.publish(self.settings, plan, f"run of {day}", expected=self.marts)
        return broken

    def derive(self, plan: NightPlan) -> None:
        """Land a night and build the models of its warehouse."""
        night.land(self.settings, plan)
        with contextlib.closing(duckdb.connect(str(plan.warehouse))) as connection:
            for schema in ("staging", "intermediate"):
                connection.execute(f"create schema if not exists {schema}")
            for statement in self.models.statements:
                connection.execute(statement)

    def broken_laws(self) -> list[str]:
        """The laws that the warehouse breaks."""
        with contextlib.closing(duckdb.connect(str(self.settings.warehouse), read_only=True)) as connection:
            return [law for law, sql in self.models.laws.items() if connection.execute(sql).fetchall()]

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """A query on the published file; rows as dictionaries."""
        with contextlib.closing(duckdb.connect(str(self.settings.published), read_only=True)) as connection:
            found = connection.execute(sql)
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
