"""The Voice-of-Customer models for tests: compiled by dbt once, then run as plain SQL on small in-memory warehouses.

A dbt invocation costs many seconds; what it compiles is only `select` statements in an order. Rows of source tables are
given as dictionaries; what the loader would have done with their files is tested elsewhere.
"""

from __future__ import annotations

import fcntl
import graphlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from conftest import REPO

from loompin import contracts, dbt_plugin

MARTS = (
    "survey_response_trends", "survey_sentiment", "survey_drivers", "driver_importance", "experience_drivers",
    "driver_history", "topic_assignments", "topic_mentions", "segment_perception", "driver_evidence",
    "segment_evidence", "identity_graph",
)  # fmt: skip
HISTORIES = ("history_survey_responses", "history_survey_topics")
"""What the loader tells of rows that did not always say the same; empty if a world does not give any."""
Row = Mapping[str, Any]
Rows = Sequence[Row]


def compiled(folder: Path) -> list[str]:
    """The statements that build the models, in order; compiled by whichever test process comes first to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _dbt(folder, "compile", "--quiet", "--select", *(f"+{model}" for model in MARTS),
                 "--exclude", "resource_type:unit_test")  # fmt: skip
            (folder / "done").touch()
    nodes = json.loads((folder / "target" / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    kinds = {"model": lambda node: node.get("compiled"), "seed": lambda node: True}
    models = {
        key: node for key, node in nodes.items()
        if node["resource_type"] in kinds and kinds[node["resource_type"]](node)
    }  # fmt: skip
    graph = {key: [up for up in node["depends_on"].get("nodes") or [] if up in models] for key, node in models.items()}
    order = [models[key] for key in graphlib.TopologicalSorter(graph).static_order()]
    assert set(MARTS) <= {node["name"] for node in order}
    return [_statement(node) for node in order]


def _dbt(folder: Path, *arguments: str) -> None:
    command = [
        sys.executable, "-m", "dbt.cli.main", *arguments, "--target-path", str(folder / "target"),
        "--log-path", str(folder), "--project-dir", str(REPO / "dbt_project"),
        "--profiles-dir", str(REPO / "dbt_project"),
    ]  # fmt: skip
    environment = {**os.environ, "LOOMPIN_WAREHOUSE": str(folder / "warehouse.duckdb")}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _statement(node: dict[str, Any]) -> str:
    if node["resource_type"] == "seed":
        file = REPO / "dbt_project" / node["original_file_path"]
        types = ", ".join(f"'{name}': '{kind}'" for name, kind in node["config"]["column_types"].items())
        query = f"select * from read_csv('{file}', header = true, types = {{{types}}})"
        return f"create or replace table {node['relation_name']} as {query}"
    kind = "view" if node["config"]["materialized"] == "view" else "table"
    return f"create or replace {kind} {node['relation_name']} as {node['compiled_code']}"


class Voice:
    """An in-memory warehouse that the models are built in, for many small worlds one after the other."""

    def __init__(self, statements: list[str]) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("attach ':memory:' as warehouse; use warehouse")
        self.connection.execute("set threads = 1")
        for schema in ("source", "landing", "staging", "intermediate"):
            self.connection.execute(f"create schema {schema}")
        self.tables = {table.name: table for table in contracts.load().tables.values()}
        dbt_plugin.register_analytics(self.connection)
        # Seeds do not change from world to world.
        self.statements = [one for one in statements if "read_csv(" not in one]
        for statement in statements:
            if "read_csv(" in statement:
                self.connection.execute(statement)
        self._masking: tuple[str, ...] = ()

    def build(self, night: date = date(2026, 2, 10), **rows: Rows) -> Voice:
        """Fill source tables (columns left out are NULL, the tables not named empty) and build all models."""
        self.connection.execute(f"create or replace table landing.night as select date '{night}' as night")
        wanted = {name for name in self.tables if any(f'"source"."{name}"' in sql for sql in self.statements)}
        for name in wanted | set(rows) - set(HISTORIES):
            self._fill(name, rows.get(name, ()))
        for history in HISTORIES:
            self._fill(history.removeprefix("history_"), rows.get(history, ()), f"landing.{history}")
        for function in self._masking:
            self.connection.remove_function(function)
        # The names to redact are read when the functions are registered.
        dbt_plugin.register(self.connection, b"a key for tests only")
        self._masking = ("pseudonym", "redact", "redact_json", "masking_digest")
        for statement in self.statements:
            self.connection.execute(statement)
        return self

    def _fill(self, name: str, rows: Rows, relation: str = "") -> None:
        relation = relation or f'source."{name}"'
        nights = {"_known_night": "date", "_ended_night": "date"}
        columns = {column.name: column.data_type for column in self.tables[name].columns} | nights
        typed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        self.connection.execute(f"create or replace table {relation} ({typed})")
        if rows:
            given = list(dict.fromkeys(key for row in rows for key in row))
            filled = [*given, *(() if "_known_night" in given else ("_known_night",))]
            values = [[row.get(key, date(1900, 1, 1) if key == "_known_night" else None) for key in filled]
                      for row in rows]  # fmt: skip
            names = ", ".join(f'"{key}"' for key in filled)
            marks = ", ".join("?" for _ in filled)
            self.connection.executemany(f"insert into {relation} ({names}) values ({marks})", values)

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """A query; rows as dictionaries."""
        found = self.connection.execute(sql)
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
