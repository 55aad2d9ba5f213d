"""Published tables that are kept by service month: of months that did not change nothing is written or read again.

Such a table is most of the published file, and most of its months are over. They stand in a file of the home as they
were published, of which the next file to publish begins as a copy, byte for byte, once the months that the models made
anew (`service_months`) were put in. With them stand their digests, of which the table's is the sum (`digests`): a month
has one since the checks of the file that it was published in passed, and its rows are not looked at again.

A fingerprint says what a month was made of, not by what: the file of other code counts no more.

The file holds nothing but what was published of these tables, which have no personal data, and may be deleted. Tables
that tell of persons are written anew each night, as free pages of a file that goes on would hold what is gone; of their
months only the digests are kept.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path

import duckdb

from loompin import database_files, landing
from loompin.digests import digest_sql
from loompin.known import day
from loompin.service_months import code_digest, month_of, next_month
from loompin.sqltext import literal, name

BY_MONTH = {
    "invoice_line_tiers": "service_month",
    "invoice_lines": "service_from",
    "ledger_entries": "date",
    "tenant_usage_daily": "usage_date",
}
"""The published tables that are kept by month, with the column that tells it."""

DIGESTS_BY_MONTH = {
    "customer_events": "coalesce(occurred_at, received_at)",
    "response_topics": '"date"',
    "segment_feedback": '"date"',
    "survey_sentiment": '"date"',
}
"""The published tables of which digests alone are kept by month, with SQL of what tells it (NULL: no month)."""


class PublishedMonths:
    """The months of tables in `BY_MONTH`, for one publication.

    Args:
        path: where the months of earlier nights stand, if they may be trusted: a night that is computed again to be
            compared writes and reads every row.
        temp: the folder for what does not fit into memory.
    """

    def __init__(self, path: Path | None, temp: Path) -> None:
        self.path, self.temp = path, temp
        self.kept: dict[str, dict[date, int]] = {}
        self.found: dict[str, dict[date | None, int]] = {}

    def begin(self, working: Path, warehouse: Path, tables: Collection[str]) -> list[str]:
        """Begin the file to publish with the tables by month, brought up to date; those that it holds now.

        Args:
            working: the file to make.
            warehouse: the warehouse of the night, whose `kept.made_months` tells what the models made.
            tables: the tables to publish.
        """
        if self.path is None:
            return []
        # Nothing is lost with the file: all of it stands in the warehouse, too.
        database_files.discard_unclosed(self.path)
        try:
            there = self._update(self.path, warehouse, tables)
        except duckdb.Error:
            # Of another version, damaged, or open elsewhere.
            database_files.discard(self.path)
            self.kept = {}
            there = self._update(self.path, warehouse, tables)
        shutil.copyfile(self.path, working)
        with contextlib.closing(landing.connect(temp=self.temp, database=working)) as connection:
            for table in BY_MONTH.keys() - set(there):
                connection.execute(f"drop table if exists {name(table)}")
            connection.execute("drop schema kept cascade")
        return there

    def _update(self, path: Path, warehouse: Path, tables: Collection[str]) -> list[str]:
        """Put the changed months of the warehouse in; the tables that stand then."""
        with contextlib.closing(landing.connect(temp=self.temp, database=path)) as connection:
            run = connection.execute
            path.chmod(0o600)
            run("create schema if not exists kept")
            run("create table if not exists kept.code (digest varchar)")
            if run("select digest from kept.code").fetchall() != [(code_digest(),)]:
                run("create or replace table kept.code as select " + literal(code_digest()) + " as digest")
                run(
                    "create or replace table kept.months"
                    " (relation varchar, service_month date, fingerprint varchar, digest hugeint)"
                )
            run(f"attach {literal(str(warehouse))} as warehouse (read_only)")
            made = run("select distinct relation from warehouse.kept.made_months").fetchall()
            there = sorted(BY_MONTH.keys() & {relation for (relation,) in made} & set(tables))
            run("begin")
            for table in there:
                self._bring_up_to_date(connection, table)
            for table in DIGESTS_BY_MONTH.keys() & {relation for (relation,) in made} & set(tables):
                self._note_months(connection, table, self._as_before(connection, table))
            run("commit")
            run("detach warehouse")
            run("checkpoint")
        return there

    def _bring_up_to_date(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        run, there = connection.execute, name(table)
        as_before = self._as_before(connection, table)
        if as_before:
            changed = _outside(table, as_before)
            run(f"delete from {there} where {changed}")
            run(f"insert into {there} from warehouse.main.{there} where {changed}")
        else:
            run(f"create or replace table {there} as from warehouse.main.{there}")
        self._note_months(connection, table, as_before)

    def _as_before(self, connection: duckdb.DuckDBPyConnection, table: str) -> dict[date, int | None]:
        """The months that the models have as when they were published, with their digests."""
        return dict(
            connection.execute(
                "select service_month, digest from kept.months semi join warehouse.kept.made_months"
                f" using (relation, service_month, fingerprint) where relation = {literal(table)}"
            ).fetchall()
        )

    def _note_months(
        self, connection: duckdb.DuckDBPyConnection, table: str, as_before: Mapping[date, int | None]
    ) -> None:
        """Note what the months of a table are made of now; the digests of the changed ones are not known yet."""
        run, of = connection.execute, f"relation = {literal(table)}"
        run(f"delete from kept.months where {of} and {_outside_months(as_before)}")
        run(
            "insert into kept.months select relation, service_month, fingerprint, null from warehouse.kept.made_months"
            f" where {of} and {_outside_months(as_before)}"
        )
        self.kept[table] = {month: digest for month, digest in as_before.items() if digest is not None}

    def unread(self, table: str) -> str:
        """SQL that is true for the rows of a table in months that no earlier night published as they are.

        Args:
            table: any table; all of it is unread if it is not one of `BY_MONTH`.
        """
        return self._undigested(table) if table in BY_MONTH else "true"

    def _undigested(self, table: str) -> str:
        if not self.kept.get(table):
            return "true"
        undated = f" or {DIGESTS_BY_MONTH[table]} is null" if table in DIGESTS_BY_MONTH else ""
        return f"({_outside(table, self.kept[table])}{undated})"

    def digest(self, connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]) -> int:
        """The digest of a table of the file to publish.

        Args:
            connection: the file to publish.
            table: one of `BY_MONTH` or `DIGESTS_BY_MONTH`.
            columns: its columns with their types.
        """
        self.found[table] = dict(
            connection.execute(
                f"select {month_of(_time(table))}, {digest_sql(columns)} from {name(table)}"
                f" where {self._undigested(table)} group by 1"
            ).fetchall()
        )
        return sum((*self.kept.get(table, {}).values(), *self.found[table].values()))

    def keep(self) -> None:
        """Note the digests of the months that were looked at: the file that holds them passed its checks."""
        told = [
            f"({literal(table)}, {day(month)}, {digest}::hugeint)"
            for table, months in self.found.items() for month, digest in months.items() if month is not None
        ]  # fmt: skip
        if self.path is None or not told:
            return
        with contextlib.closing(landing.connect(temp=self.temp, database=self.path)) as connection:
            connection.execute(
                "update kept.months as kept set digest = told.digest"
                f" from (values {', '.join(told)}) as told (relation, service_month, digest)"
                " where kept.relation = told.relation and kept.service_month = told.service_month"
            )


def _time(table: str) -> str:
    """SQL of what tells the month of a row."""
    return name(BY_MONTH[table]) if table in BY_MONTH else DIGESTS_BY_MONTH[table]


def _outside_months(months: Collection[date]) -> str:
    return f"service_month not in ({', '.join(map(day, sorted(months)))})" if months else "true"


def _outside(table: str, months: Collection[date]) -> str:
    """SQL that is true for the rows of a table in other months, as ranges of days: what is left out is not even read.

    Raises:
        IndexError: there are no months.
    """
    starts, column = sorted(months), _time(table)
    ends = [next_month(start) for start in starts]
    between = [
        f"{column} >= {day(end)} and {column} < {day(start)}"
        for end, start in zip(ends, starts[1:], strict=False) if end != start
    ]  # fmt: skip
    return f"({' or '.join([f'{column} < {day(starts[0])}', *between, f'{column} >= {day(ends[-1])}'])})"
