"""Digests of published tables: what tells whether two computations of a night agree.

A digest is a sum over rows, so that of a table that is kept by service month is the sum of its months'. A month that
the models kept (`service_months`) has the digest that an earlier night found; it stands in `digests.json` of the home,
a cache that may be deleted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from loompin.known import day
from loompin.record import write_json
from loompin.service_months import next_month
from loompin.sqltext import literal, name

BY_MONTH = {"tenant_usage_daily": "usage_date"}
"""The published tables that are kept by service month, with the column that tells it."""


def digest_sql(columns: Mapping[str, str]) -> str:
    """SQL for a number that tells the content of a table, whatever the order of its rows.

    Doubles count to nine digits: the last ones of a mean depend on the order in which an engine adds.

    Args:
        columns: the columns of the table with their types.
    """
    texts = [
        f"printf('%.8e', {name(column)})" if kind in ("DOUBLE", "FLOAT") else f"cast({name(column)} as varchar)"
        for column, kind in columns.items()
    ]
    row = " || chr(31) || ".join(f"coalesce({text}, chr(30))" for text in texts)
    return f"coalesce(sum(cast(md5_number_lower({row}) as hugeint)), 0)"


class MonthDigests:
    """The digests of the months of tables in `BY_MONTH`; `path` is where those of earlier nights stand, if they may be
    trusted: a night that is computed again to be compared looks at every row."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        try:
            self.before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path else {}
        except (OSError, ValueError):
            self.before = {}

    def unread(self, connection: duckdb.DuckDBPyConnection, table: str) -> str:
        """SQL that is true for the rows of a table in months that no earlier night published as they are.

        Args:
            connection: the new file, with the warehouse attached as `warehouse`.
            table: any table; all of it is unread if it is not one of `BY_MONTH`.
        """
        kept = sorted(self._kept(connection, table)) if table in BY_MONTH else []
        if not kept:
            return "true"
        # As ranges of days: what is left out is not even read.
        starts = [date.fromisoformat(f"{month}-01") for month in kept]
        ends = [next_month(start) for start in starts]
        column = name(BY_MONTH[table])
        between = [
            f"{column} >= {day(end)} and {column} < {day(start)}"
            for end, start in zip(ends, starts[1:], strict=False) if end != start
        ]  # fmt: skip
        return f"({' or '.join([f'{column} < {day(starts[0])}', *between, f'{column} >= {day(ends[-1])}'])})"

    def digest(self, connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]) -> int:
        """The digest of a table of the new file.

        Args:
            connection: the new file, with the warehouse attached as `warehouse`.
            table: one of `BY_MONTH`.
            columns: its columns with their types.
        """
        prints = self._prints(connection, table)
        kept = self._kept(connection, table)
        month = f"strftime({name(BY_MONTH[table])}, '%Y-%m')"
        now = dict(connection.execute(
            f"select {month}, {digest_sql(columns)} from {name(table)}"
            f" where {self.unread(connection, table)} group by 1"
        ).fetchall())  # fmt: skip
        self.found[table] = kept | {
            month: {"fingerprint": prints[month], "digest": str(digest)}
            for month, digest in now.items() if month in prints
        }  # fmt: skip
        return sum(int(found["digest"]) for found in kept.values()) + sum(int(digest) for digest in now.values())

    def _prints(self, connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
        return dict(connection.execute(
            "select strftime(service_month, '%Y-%m'), fingerprint from warehouse.kept.made_months"
            f" where relation = {literal(table)}"
        ).fetchall())  # fmt: skip

    def _kept(self, connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, dict[str, str]]:
        before = self.before.get(table, {})
        return {
            month: before[month] for month, fingerprint in self._prints(connection, table).items()
            if before.get(month, {}).get("fingerprint") == fingerprint
        }  # fmt: skip

    def keep(self) -> None:
        """Keep what was found for the next night."""
        if self.path and self.found != self.before:
            write_json(self.path, self.found)
