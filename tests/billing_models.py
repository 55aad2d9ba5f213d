"""The models of billing for tests: compiled by dbt once, then run as plain SQL on many small warehouses.

A dbt invocation costs many seconds; what it compiles is only `select` statements in an order. Models that are made by
month are compiled twice, for a warehouse without them and for one that has them; what dbt does before and after them
stands here again. Source files are landed and published by the project's own code.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import graphlib
import json
import os
import re
import shutil
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
class Model:
    """A model as plain SQL.

    `changed` is the query of the months that changed, for a model that is made by month; `fingerprints` is the relation
    that tells them and `month` SQL of the month of a row.
    """

    name: str
    relation: str
    kind: str
    query: str
    changed: str = ""
    fingerprints: str = ""
    month: str = ""

    def build(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the model in a warehouse, or the months of it that changed."""
        run = connection.execute
        if not self.changed:
            run(f"create or replace {self.kind} {self.relation} as {self.query}")
            return
        schema, _, table = self.relation.replace('"', "").rpartition(".")
        there = run(
            "select 1 from duckdb_tables() where table_name = ? and schema_name = ?", [table, schema.rpartition(".")[2]]
        ).fetchone()
        if there:
            run(
                f"delete from {self.relation} where {self.month} not in (select service_month from kept.made_months"
                f" join {self.fingerprints} using (service_month, fingerprint) where relation = '{self.name}')"
            )
            run(f"insert into {self.relation} by name {self.changed}")
        else:
            run(f"create table {self.relation} as {self.query}")
        run(f"delete from kept.made_months where relation = '{self.name}'")
        run(f"insert into kept.made_months select '{self.name}', service_month, fingerprint from {self.fingerprints}")


@dataclass(frozen=True)
class Models:
    """Compiled SQL: the models in the order in which they are built, and the laws, each a query of its violations."""

    models: list[Model]
    laws: dict[str, str]


def compiled(folder: Path) -> Models:
    """Compile the models of billing and its laws; done once by whichever test process comes first to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _compile(folder, folder / "target")
            _make_by_month(folder / "warehouse.duckdb", _nodes(folder / "target"))
            _compile(folder, folder / "target-again")
            (folder / "done").touch()
    nodes, again = _nodes(folder / "target"), _nodes(folder / "target-again")
    models = {key: node for key, node in nodes.items() if node["resource_type"] == "model" and node.get("compiled")}
    graph = {key: [up for up in node["depends_on"]["nodes"] if up in models] for key, node in models.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    laws = {
        node["name"]: node["compiled_code"] for node in nodes.values()
        if node["resource_type"] == "test" and node["path"].startswith("billing/")
    }  # fmt: skip
    relations = {node["name"]: node["relation_name"] for node in models.values()}
    assert {*MARTS, "int_billing_quarantine"} <= relations.keys()
    assert laws
    assert all(laws.values())
    return Models([_model(models[key], again[key], relations) for key in order], laws)


def _nodes(target: Path) -> dict[str, dict[str, Any]]:
    nodes: dict[str, dict[str, Any]] = json.loads((target / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    return nodes


def _compile(folder: Path, target: Path) -> None:
    models = [f"+{model}" for model in (*MARTS, "int_billing_quarantine")]
    command = [
        sys.executable, "-m", "dbt.cli.main", "compile", "--quiet", "--select", *models, "path:tests/billing",
        "--exclude", "resource_type:unit_test", "--target-path", str(target), "--log-path", str(folder),
        "--project-dir", str(REPO / "dbt_project"), "--profiles-dir", str(REPO / "dbt_project"),
    ]  # fmt: skip
    environment = {**os.environ, "LOOMPIN_WAREHOUSE": str(folder / "warehouse.duckdb")}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _make_by_month(warehouse: Path, nodes: dict[str, dict[str, Any]]) -> None:
    """Tables in the place of the models that are made by month: dbt compiles those otherwise that are there already."""
    with contextlib.closing(duckdb.connect(str(warehouse))) as connection:
        for node in nodes.values():
            if node["config"]["materialized"] == "incremental":
                connection.execute(f"create schema if not exists {node['schema']}")
                connection.execute(f"create table {node['relation_name']} (nothing integer)")


def _model(node: dict[str, Any], again: dict[str, Any], relations: dict[str, str]) -> Model:
    kind = "view" if node["config"]["materialized"] == "view" else "table"
    name, query = node["name"], node["compiled_code"]
    if node["config"]["materialized"] != "incremental":
        return Model(name, node["relation_name"], kind, query)
    ((fingerprints, day),) = re.findall(r"\('(\w+)', '(\w+)'\)", node["config"]["pre-hook"][0]["sql"])
    month = f"cast(date_trunc('month', {day}) as date)"
    assert again["compiled_code"] != query
    return Model(name, node["relation_name"], kind, query, again["compiled_code"], relations[fingerprints], month)


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
            for model in self.models.models:
                model.build(connection)

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

    def made(self) -> dict[str, list[tuple[Any, ...]]]:
        """The rows of each table that the models made in the warehouse."""
        return _made(self.settings.warehouse)

    def made_anew(self, folder: Path) -> dict[str, list[tuple[Any, ...]]]:
        """The rows of each table that the models make in a copy of the warehouse that keeps nothing of them."""
        folder.mkdir(exist_ok=True)
        copy = Path(shutil.copy(self.settings.warehouse, folder / self.settings.warehouse.name))
        with contextlib.closing(duckdb.connect(str(copy))) as connection:
            for (relation,) in connection.execute("select distinct relation from kept.made_months").fetchall():
                for schema in ("intermediate", "main"):
                    connection.execute(f"drop table if exists {schema}.{relation}")
            connection.execute("delete from kept.made_months")
            for model in self.models.models:
                model.build(connection)
        return _made(copy)

    def months_made(self) -> dict[tuple[str, date], str]:
        """By model and month, the fingerprint under which the model made the month."""
        with contextlib.closing(duckdb.connect(str(self.settings.warehouse), read_only=True)) as connection:
            rows = connection.execute("select relation, service_month, fingerprint from kept.made_months").fetchall()
        return {(relation, month): fingerprint for relation, month, fingerprint in rows}


def _made(warehouse: Path) -> dict[str, list[tuple[Any, ...]]]:
    with contextlib.closing(duckdb.connect(str(warehouse), read_only=True)) as connection:
        tables = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where schema_name in ('intermediate', 'main')"
        ).fetchall()
        return {table: connection.execute(f"from {table} order by all").fetchall() for (table,) in tables}
