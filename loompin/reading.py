"""Opens the published file for reading, and nothing else: the one place that decides what a query there may do.

What is shown of a result, and how, is in `output`.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from loompin import line_events
from loompin.settings import Settings
from loompin.sqltext import literal

MEMORY_LIMIT = "2GB"
_QUERIES = {"SELECT", "EXPLAIN"}


class QueryRefused(Exception):
    """A statement that is no single query on the published file; the message says what is possible instead."""


class NothingPublished(Exception):
    """There is no published file yet."""


def require_published(settings: Settings) -> Path:
    """The path of the published file, which is there.

    Raises:
        NothingPublished: no night has been published in this home.
    """
    if not settings.published.exists():
        raise NothingPublished(f"no night has been published yet: there is no {settings.published}")
    return settings.published


@contextlib.contextmanager
def published(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the published file that can neither write nor reach any other file but those that it names.

    It never waits for a night and never stops one: a night replaces the file by a rename.

    Raises:
        NothingPublished: no night has been published in this home.
    """
    path = require_published(settings)
    with tempfile.TemporaryDirectory(prefix="loompin-query-") as spill:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": spill,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
        with contextlib.closing(duckdb.connect(str(path), read_only=True, config=config)) as connection:
            connection.execute("set enable_progress_bar = false")
            folder = str(line_events.folder_of(path))
            connection.execute(f"set allowed_directories = [{literal(folder)}]")
            # Last, as it locks where temporary files may stand as well.
            connection.execute("set enable_external_access = false")
            connection.execute("set lock_configuration = true")
            yield connection


def query(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyConnection:
    """Run one query of a user.

    Raises:
        QueryRefused: it is no query, more than one, or reaches for a file.
        duckdb.Error: it is wrong; the message is DuckDB's.
    """
    statements = connection.extract_statements(sql)
    kinds = [statement.type.name for statement in statements]
    # `pivot` is one query of the user's and two statements of DuckDB's.
    pivot = kinds == ["CREATE", "SELECT"] and "pivot" in sql.lower()
    if not kinds:
        raise QueryRefused("there is no query; give one, such as: select * from invoices")
    if not pivot and not set(kinds) <= _QUERIES:
        other = next(kind for kind in kinds if kind not in _QUERIES)
        raise QueryRefused(f"only queries are run here, and {other} is none; the published file is read-only")
    if not pivot and len(kinds) > 1:
        raise QueryRefused(f"this is {len(kinds)} queries; give one at a time")
    try:
        return connection.execute(sql)
    except duckdb.PermissionException as error:
        raise QueryRefused(
            "a query here reads tables of the published file only, no other file and no extension;"
            " open the published file in your own DuckDB to join it with files of yours"
        ) from error


def rows(connection: duckdb.DuckDBPyConnection, sql: str, *values: Any) -> list[dict[str, Any]]:
    """All rows of a query of ours, each by column name; `values` stand for its question marks."""
    result = connection.execute(sql, list(values))
    columns = [column[0] for column in result.description]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
