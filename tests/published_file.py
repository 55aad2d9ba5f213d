"""The published file of a home: read while nights go on, and compared with another."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import duckdb

# What records runs may differ between two computations of one night.
RUN_TABLES = {"data_as_of", "data_quality", "load_audit"}


def published(home: Path) -> Path:
    return home / "published" / "analytics.duckdb"


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """A query on a file of a home, through a copy of the name: DuckDB keeps one instance a path and process."""
    alias = file.with_name(f"{file.name}.{os.getpid()}.{time.monotonic_ns()}")
    os.link(file, alias)
    try:
        with contextlib.closing(duckdb.connect(str(alias), read_only=True)) as connection:
            return connection.execute(sql).fetchall()
    finally:
        alias.unlink()


def differences(one: Path, other: Path) -> list[str]:
    """The tables of two published files whose rows differ, compared both ways and copy by copy."""
    with contextlib.closing(duckdb.connect()) as connection:
        connection.execute(f"attach '{one}' as a (read_only)")
        connection.execute(f"attach '{other}' as b (read_only)")
        names = {
            side: {row[0] for row in connection.execute(
                f"select table_name from duckdb_tables() where database_name = '{side}'").fetchall()}
            for side in ("a", "b")
        }  # fmt: skip
        found = sorted(names["a"] ^ names["b"])
        for table in sorted(names["a"] & names["b"] - RUN_TABLES):
            for this, that in (("a", "b"), ("b", "a")):
                rest = f'select * from {this}.main."{table}" except all select * from {that}.main."{table}"'
                more = connection.execute(f"select count(*) from ({rest})").fetchone()
                if more is None or more[0]:
                    found.append(table)
    return sorted(set(found))
