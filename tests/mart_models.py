"""Single models for tests: compiled by dbt once, then run as plain SQL on tables made for the test.

What belongs here: compiling and feeding. What the figures should be is in the test modules. The models of billing,
which need a landed home, are in `billing_models`.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from conftest import REPO

MODELS = ("ab_test_results", "customer_health", "int_journey_goals", "journey_edges", "nps_daily", "nps_summary")
# Columns of the staging and intermediate models that the tests fill; marts and seeds declare theirs.
STAGING = {
    "int_feedback_scores": {
        "entity_type": "varchar", "entity_id": "varchar", "tenant_id": "varchar", "customer_id": "varchar",
        "occurred_at": "timestamp", "component": "varchar", "figure": "double",
    },
    "stg_customers": {"id": "varchar", "tenant_id": "varchar", "platform_health_score": "bigint"},
    "int_journey_goals": {"journey_id": "varchar", "step": "varchar"},
    "stg_journey_events": {
        "journey_id": "varchar", "customer_id": "varchar", "step": "varchar", "occurred_at": "timestamp",
        "place": "bigint",
    },
    "stg_journeys": {"id": "varchar", "steps_count": "bigint", "success_rate": "double"},
}  # fmt: skip


@dataclass(frozen=True)
class Compiled:
    """What dbt compiled: the SQL of each model, and the columns with their types of each table it may read."""

    sql: dict[str, str]
    columns: dict[str, dict[str, str]]
    schemas: dict[str, str]
    database: str

    def run(self, model: str, **tables: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The rows of a model made from these tables alone; columns that a row leaves out are NULL."""
        with duckdb.connect() as connection:
            connection.execute(f"attach ':memory:' as {self.database}")
            connection.execute(f"create schema {self.database}.intermediate; create schema {self.database}.staging")
            connection.execute(f"create schema {self.database}.landing; set TimeZone = 'UTC'")
            for name, rows in tables.items():
                self._fill(connection, name, rows)
            found = connection.execute(self.sql[model])
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _fill(self, connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = self.columns[name]
        relation = f"{self.database}.{self.schemas[name]}.{name}"
        connection.execute(f"create table {relation} ({', '.join(f'{key} {kind}' for key, kind in columns.items())})")
        if rows:
            values: Iterable[list[Any]] = ([row.get(column) for column in columns] for row in rows)
            connection.executemany(f"insert into {relation} values ({', '.join('?' * len(columns))})", list(values))


def compiled(folder: Path) -> Compiled:
    """Compile the models; done once by whichever test process comes first to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _compile(folder)
            (folder / "done").touch()
    nodes = json.loads((folder / "target" / "manifest.json").read_text(encoding="utf-8"))["nodes"].values()
    declared = {node["name"]: node for node in nodes if node["resource_type"] in ("model", "seed")}
    typed = {
        name: {key: column["data_type"] for key, column in node["columns"].items()}
        if node["resource_type"] == "model" else dict(node["config"]["column_types"])
        for name, node in declared.items()
    }  # fmt: skip
    return Compiled(
        {name: declared[name]["compiled_code"] for name in MODELS},
        {name: columns for name, columns in typed.items() if columns and all(columns.values())} | STAGING,
        {name: node["schema"] for name, node in declared.items()},
        "warehouse",
    )


def _compile(folder: Path) -> None:
    command = [
        sys.executable, "-m", "dbt.cli.main", "compile", "--quiet", "--select", *MODELS, "--target-path",
        str(folder / "target"), "--log-path", str(folder), "--project-dir", str(REPO / "dbt_project"), "--profiles-dir",
        str(REPO / "dbt_project"), "--exclude", "resource_type:unit_test", "resource_type:test",
    ]  # fmt: skip
    environment = {**os.environ, "LOOMPIN_WAREHOUSE": str(folder / "warehouse.duckdb")}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
