"""Service months of usage events: what a night found of a month is kept until something that it depends on changes.

Usage events are most of the rows, and most of their months are over. Rules about single rows look at one row, and keys,
duplicates and cancellations at one month, so a month has to be looked at again only if one of these changed: its file
versions and their nights, rows of it held back or released, the rules, what its references mean, or the code. All that
is the month's fingerprint. A month whose fingerprint is as before keeps what was found (schema `kept` of the
warehouse); every other is *stale* and validated anew. So a result never depends on what earlier nights did: without
`kept`, all months are stale and all comes out the same.

Besides what rules found, `kept` holds what models need instead of events: `sums` (usage added up by tenant, driver, day
and night), `lateness` (how long events took to arrive), `cancelling` (events that cancel, and those they name) and
`repeated_ids` (ids that a tenant used in several months).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from loompin.contracts import Table
from loompin.known import Files, Portion, day, insert, when_sql
from loompin.settings import DBT_PROJECT, PROJECT_ROOT
from loompin.sqltext import literal, name

# Hashes of so many rows are compared at a time: half a gigabyte of them.
_HASHES_AT_ONCE = 1 << 25
# So many months are told by comparing, more by the calendar.
_MANY_MONTHS = 12

_TABLES = {
    # What the tables below were made by.
    "code": "digest varchar",
    # Under which fingerprints the models have their months: theirs, not the loader's.
    "made_months": "relation varchar, service_month date, fingerprint varchar",
    # Of these, the months that a night was published with: their tests passed.
    "tested_months": "relation varchar, service_month date, fingerprint varchar",
    # What each landed part holds of a month; a part never changes.
    "parts": "version_id varchar, service_month date, events bigint, last_time timestamp",
    "months": "service_month date, told varchar, means varchar, fingerprint varchar",
    "refs": "service_month date, column_name varchar, value varchar",
    "read": "service_month date, file_id integer, events bigint",
    "failing": "service_month date, rule varchar, file_id integer, _row bigint",
    "stayed": "service_month date, rule varchar, events bigint",
    "excluded": "service_month date, file_id integer, _row bigint, status varchar",
    "quarantine": "service_month date, file_id integer, _row bigint, table_name varchar, source_file varchar,"
    " source_line bigint, rule varchar, column_name varchar, value varchar, reason varchar, row_json varchar,"
    " received_at timestamp",
    "sums": "service_month date, tenant_id varchar, tenant_slug varchar, driver_key varchar, usage_date date,"
    " known_night date, quantity decimal(38, 6), events bigint",
    "lateness": "service_month date, is_cancellation boolean, minutes_late bigint, quantity decimal(38, 6),"
    " events bigint",
    "cancelling": "service_month date, tenant_id varchar, tenant_slug varchar, event_id varchar, driver_key varchar,"
    " quantity decimal(38, 6), occurred_at timestamp, received_at timestamp, cancels_event_id varchar,"
    " known_night date",
    "repeated_ids": "service_month date, tenant_id varchar, event_id varchar",
}
_BY_MONTH = tuple(table for table, columns in _TABLES.items() if columns.startswith("service_month"))


@functools.lru_cache(maxsize=1)
def code_digest() -> str:
    """A digest of the code that derives anything, its weights and libraries: what others kept counts no more."""
    files = [
        *(PROJECT_ROOT / "loompin").rglob("*.py"),
        *(path for folder in ("models", "macros", "seeds") for path in (DBT_PROJECT / folder).rglob("*.*")),
        DBT_PROJECT / "dbt_project.yml",
        PROJECT_ROOT / "requirements.lock",
    ]
    told = hashlib.sha256(duckdb.__version__.encode())
    for path in sorted(files):
        told.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return told.hexdigest()[:16]


def remember_tested(warehouse: Path) -> None:
    """Note that the months that the models have passed their tests: tests of months look only at those made since.

    Whoever reads the warehouse just now keeps it from being written. A published night does not fail for that: the next
    one tests more.

    Args:
        warehouse: the warehouse of the night.
    """
    with (
        contextlib.suppress(duckdb.IOException),
        contextlib.closing(duckdb.connect(str(warehouse))) as connection,
    ):
        connection.execute("create or replace table kept.tested_months as from kept.made_months")


def month_of(moment: str) -> str:
    """SQL of the first day of a time's month."""
    return f"make_date(year({moment}), month({moment}), 1)"


class ServiceMonths:
    """The months of a table whose keys hold within a month of `occurred_at`: which are stale, and what is kept.

    Args:
        connection: the warehouse, open for writing.
        files: the file versions of the night.
        table: the table, usage_events.
        rules: what its rules say, as a text: a change makes every month stale.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, files: Files, table: Table, rules: str) -> None:
        self.connection, self.files, self.table = connection, files, table
        self._make_tables()
        self._measure_parts()
        self.told = self._tell(rules)
        kept = dict(self._rows("select service_month, told from kept.months"))
        self.stale = {month for month, told in self.told.items() if kept.get(month) != told}
        self._forget()
        self._read_references()

    # -- which months are stale ---------------------------------------------------------------------------------------

    def _make_tables(self) -> None:
        run = self.connection.execute
        run("create schema if not exists kept")
        for table, columns in _TABLES.items():
            run(f"create table if not exists kept.{table} ({columns})")
        if self._rows("select digest from kept.code") != [(code_digest(),)]:
            # A table of a model that was not made by month before, or had other columns, is no beginning for it now.
            for schema, relation in self._rows(
                "select schema_name, table_name from duckdb_tables()"
                " where database_name = current_database() and schema_name in ('intermediate', 'main')"
            ):
                run(f"drop table {schema}.{name(relation)}")
            for table, columns in _TABLES.items():
                run(f"create or replace table kept.{table} ({columns})")
            run(f"insert into kept.code values ({literal(code_digest())})")

    def _measure_parts(self) -> None:
        """Read which months the parts hold that are not known yet."""
        known = {version for (version,) in self._rows("select distinct version_id from kept.parts")}
        told, new = [], []
        for number, version in enumerate(self.files.versions):
            if version.table == self.table.name and version.rows and version.id not in known:
                is_as_landed = version.contract == self.table.fingerprint
                measured = _of_one_month(self.files.part(version)) if is_as_landed else None
                told += [(version.id, *measured)] if measured else []
                new += [] if measured else [number]
        columns = {"version_id": pa.string(), "service_month": pa.date32(), "events": pa.int64(),
                   "last_time": pa.timestamp("us")}  # fmt: skip
        insert(self.connection, "kept.parts", columns, told)
        if not new:
            return
        self.connection.execute(
            f"insert into kept.parts select v.version_id, {month_of('d.day')}, sum(d.events), max(d.last_time) from"
            f" (select file_id, cast(occurred_at as date) as day, count(*) as events,"
            f" max({when_sql(self.table, '')}) as last_time from ({self.files.parts(self.table, new)}) group by all)"
            " as d join landing.files as v on v.file_id = d.file_id group by all"
        )

    def _tell(self, rules: str) -> dict[date, str]:
        """All that a month depends on but its references, by month, as a digest."""
        held = dict(self._rows(
            "select version_id,"
            " md5(string_agg(concat_ws('|', row_number, night, released), ',' order by row_number, night))"
            " from landing.held group by version_id"
        ))  # fmt: skip
        versions: dict[str, list[str]] = {}
        for number, version in enumerate(self.files.versions):
            if version.table == self.table.name:
                line = (number, version.id, version.accepted, version.completed_before, held.get(version.id))
                versions.setdefault(version.source_file, []).append(repr(line))
        night = self.files.state.night
        told: dict[date, str] = {}
        months = self._rows(
            "select p.service_month, list_sort(list(distinct f.source_file)), max(p.last_time) from kept.parts as p"
            f" join landing.files as f on f.version_id = p.version_id and f.table_name = {literal(self.table.name)}"
            " where p.service_month is not null group by p.service_month"
        )
        for month, source_files, last_time in months:
            # Rows of a later night wait for it.
            until = night if last_time and last_time.date() > night else None
            lines = [line for file in source_files for line in (file, *versions[file])]
            told[month] = hashlib.sha256(repr((rules, until, lines)).encode()).hexdigest()[:32]
        return told

    def _read_references(self) -> None:
        """Read what the rows of stale months refer to, and those without a month (they are looked at every night)."""
        portion, referring = self.portion(), self._referring()
        self.connection.execute("delete from kept.refs where service_month is null")
        if not portion.numbers:
            return
        self.connection.execute(
            f"create or replace temp table referring as select distinct {self.month} as service_month,"
            f" {', '.join(map(name, referring))} from ({self.files.landed(self.table, portion.numbers, portion)})"
        )
        for column in referring:
            self.connection.execute(
                f"insert into kept.refs select distinct service_month, {literal(column)}, {name(column)}"
                f" from referring where {name(column)} is not null"
            )

    def references(self, column: str) -> str:
        """SQL of the values `ref` of a column as they were received."""
        return f"select value as ref from kept.refs where column_name = {literal(column)}"

    def look_at_references(self, meanings: Sequence[str]) -> None:
        """Find the months whose references mean something else now, then forget what was kept of all stale months.

        Args:
            meanings: SQL, for each column with a reference, that gives (service_month, told) from `kept.refs`: what
                each value of the column means now.
        """
        self.means: dict[date, str] = {}
        for number, sql in enumerate(meanings):
            for month, digest in self._rows(
                f"select service_month, md5(string_agg(told, ',' order by told)) from ({sql})"
                " where service_month is not null group by service_month"
            ):
                self.means[month] = f"{self.means.get(month, '')}{number}:{digest},"
        before = dict(self._rows("select service_month, means from kept.months"))
        self.stale |= {month for month in before if before[month] != self.means.get(month, "")}
        self._forget(but=("refs",))

    def all_stale(self) -> None:
        """A rule that cannot run was found: nothing that is kept counts."""
        self.stale = set(self.told)
        self._forget(but=("refs",))

    def _forget(self, but: Iterable[str] = ()) -> None:
        gone = f"not ({self._unchanged()})"
        for table in _BY_MONTH:
            if table not in but:
                self.connection.execute(f"delete from kept.{table} where {gone}")

    def _referring(self) -> list[str]:
        return [column.name for column in self.table.columns if column.references and column.in_files]

    def _unchanged(self) -> str:
        """SQL that is true for the months of which all is kept."""
        months = sorted(set(self.told) - self.stale)
        return f"service_month in ({', '.join(map(day, months))})" if months else "false"

    @property
    def month(self) -> str:
        """SQL of the month of a row of the stale months; NULL if it has none. Comparing is cheaper than a calendar."""
        if len(self.stale) > _MANY_MONTHS:
            return month_of("occurred_at")
        cases = " ".join(f"when {_within(month)} then {day(month)}" for month in sorted(self.stale))
        return f"case {cases} end" if cases else "cast(null as date)"

    def portion(self) -> Portion:
        """The landed rows of the stale months, and those without a month."""
        if len(self.stale) == len(self.told):
            return Portion(list(self.files.all_numbers(self.table)), None)
        return self._portion(self.stale, with_none=True)

    def _portion(self, months: Iterable[date], with_none: bool) -> Portion:
        chosen = sorted(months)
        listed = ", ".join(map(day, chosen)) or "null"
        held = {file_id for (file_id,) in self._rows(
            "select distinct f.file_id from kept.parts as p join landing.files as f on f.version_id = p.version_id"
            f" where p.service_month in ({listed}){' or p.service_month is null' if with_none else ''}"
        )}  # fmt: skip
        tests = [f"({_within(month)})" for month in chosen]
        tests += ["occurred_at is null or not isfinite(occurred_at)"] if with_none else []
        return Portion([n for n in self.files.all_numbers(self.table) if n in held], " or ".join(tests) or "false")

    def later_files(self) -> list[int]:
        """The versions with rows of a later night."""
        night = self.files.state.night
        return [number for (number,) in self._rows(
            "select distinct f.file_id from kept.parts as p join landing.files as f on f.version_id = p.version_id"
            f" where cast(p.last_time as date) > {day(night)}"
        )]  # fmt: skip

    # -- what is kept -------------------------------------------------------------------------------------------------

    def keep(self, read: Iterable[tuple[int, date | None, int]], stayed: str, quarantined: str, broken: bool) -> None:
        """Keep what was found of the stale months, and tell the night what is kept of the others.

        Args:
            read: the rows read, by file version and month.
            stayed: relation (rule, file_id, _row) of rows that stay though they break a rule by now.
            quarantined: relation of the rows put into the quarantine: as `kept.quarantine`, without its month.
            broken: a rule could not run; what was found is right for this night alone.
        """
        run, table = self.connection.execute, literal(self.table.name)
        columns = {"service_month": pa.date32(), "file_id": pa.int32(), "events": pa.int64()}
        insert(self.connection, "kept.read", columns, [(m, number, n) for number, m, n in read if m is not None])
        few = (
            f"select file_id, _row from landing.failing where table_name = {table}"
            f" union select file_id, _row from landing.excluded where table_name = {table}"
            f" union select file_id, _row from {stayed}"
        )
        run(f"create or replace temp table few as {few}")
        only = self._only_month()
        times = f"({self.files.columns(self.table, ['occurred_at'], self.portion(), 'few')})"
        months = f"{day(only)} as m from few" if only else f"{self.month} as m from {times} where m is not null"
        run(f"create or replace temp table few_months as select file_id, _row, {months}")
        of_month = "join few_months as f on f.file_id = x.file_id and f._row = x._row"
        run(f"insert into kept.failing select f.m, x.rule, x.file_id, x._row from landing.failing as x {of_month}"
            f" where x.table_name = {table}")  # fmt: skip
        run(f"insert into kept.excluded select f.m, x.file_id, x._row, x.status from landing.excluded as x {of_month}"
            f" where x.table_name = {table}")  # fmt: skip
        run(f"insert into kept.stayed select f.m, x.rule, count(*) from {stayed} as x {of_month} group by all")
        run(f"insert into kept.quarantine select f.m, x.* from {quarantined} as x {of_month}")
        same = self._unchanged()
        run(f"insert into landing.failing select {table}, rule, file_id, _row from kept.failing where {same}")
        run(f"insert into landing.excluded select {table}, file_id, _row, status from kept.excluded where {same}")
        run("insert into landing.quarantine select * exclude (service_month, file_id, _row) from kept.quarantine"
            f" where {same}")  # fmt: skip
        run(f"insert into landing.duplicates select {table}, service_month, count(*) from kept.excluded"
            f" where status = 'duplicate' and {same} group by service_month")  # fmt: skip
        self._write_months(broken)

    def _only_month(self) -> date | None:
        """The one stale month, if there is no row without a month."""
        if len(self.stale) != 1 or self._rows("select count(*) from kept.parts where service_month is null") != [(0,)]:
            return None
        return next(iter(self.stale))

    def _write_months(self, broken: bool) -> None:
        """State what the stale months were made of. Where that holds for this night only, the next makes them anew."""
        only_now = set(self.told) if broken else self._released_now()
        for month in sorted(self.stale):
            told = self.told[month] + (f" {self.files.state.night}" if month in only_now else "")
            means = self.means.get(month, "")
            fingerprint = hashlib.sha256(f"{code_digest()} {told} {means}".encode()).hexdigest()[:32]
            self.connection.execute(
                f"insert into kept.months values ({day(month)}, {literal(told)}, {literal(means)},"
                f" {literal(fingerprint)})"
            )
        self.connection.execute(
            "create table landing.usage_months as select service_month, fingerprint from kept.months"
        )

    def _released_now(self) -> set[date]:
        """The months with a row that was held back until now and passes: it is known from this night, which only the
        next one finds in the record."""
        unreleased = self.files.unreleased(self.table)
        if unreleased is None:
            return set()
        self.connection.execute(
            f"create or replace temp table few as select u.file_id, u._row from ({unreleased}) as u anti join"
            f" (select file_id, _row from landing.excluded where table_name = {literal(self.table.name)}) as e"
            " on e.file_id = u.file_id and e._row = u._row"
        )
        if self._rows("select count(*) from few") == [(0,)]:
            return set()
        return {month for (month,) in self._rows(
            f"select distinct {month_of('occurred_at')} from"
            f" ({self.files.columns(self.table, ['occurred_at'], among='few')}) where occurred_at is not null"
        )}  # fmt: skip

    # -- instead of events --------------------------------------------------------------------------------------------

    def add_up(self, sums: Callable[[Portion], str], accepted: Callable[[str], str]) -> None:
        """Make `landing.usage_sums`, `usage_lateness`, `usage_cancelling` and `repeated_ids`: what models read instead
        of events.

        Args:
            sums: SQL of the accepted events of a portion added up, as of `usage_sums.sums`.
            accepted: SQL of the accepted events among a relation (file_id, _row), in parentheses.
        """
        run = self.connection.execute
        if self.stale:
            run(f"create or replace temp table summed as {sums(self.portion())}")
            run(
                f"insert into kept.sums select {month_of('usage_date')}, tenant_id, tenant_slug, driver_key,"
                " usage_date, known_night, quantity, events from summed where not is_lateness and not is_cancellation"
            )
            run(
                f"insert into kept.lateness select {month_of('usage_date')}, is_cancellation, minutes_late,"
                " sum(case when is_cancellation then 0 else quantity end), sum(events) from summed where is_lateness"
                " group by all"
            )
            run("drop table summed")
            self._find_cancelling(accepted)
            self._find_repeated_ids(accepted)
        run("create view landing.usage_sums as from kept.sums")
        run("create view landing.usage_lateness as from kept.lateness")
        run("create view landing.usage_cancelling as from kept.cancelling")
        run(
            "create table landing.repeated_ids as select service_month, count(*) as ids from (select *,"
            " min(service_month) over w as first_month, max(service_month) over w as last_month from kept.repeated_ids"
            " window w as (partition by tenant_id, event_id)) where first_month <> last_month group by service_month"
        )

    def _find_cancelling(self, accepted: Callable[[str], str]) -> None:
        """Find the events of stale months that cancel, and those with an id that one of them names."""
        run = self.connection.execute
        events = self.files.columns(self.table, ["event_id", "cancels_event_id"], self.portion())
        run(
            "create or replace temp table cancelling as"
            f" select file_id, _row, cancels_event_id from ({events}) where cancels_event_id is not null"
        )
        if self._rows("select count(*) from cancelling") == [(0,)]:
            return
        run(
            "create or replace temp table few as select file_id, _row from cancelling union"
            f" select file_id, _row from ({events}) where event_id in (select cancels_event_id from cancelling)"
        )
        run(
            f"insert into kept.cancelling select {month_of('occurred_at')}, tenant_id, tenant_slug, event_id,"
            " driver_key, quantity, occurred_at, received_at, cancels_event_id, _known_night"
            f" from {accepted('few')} where {self.month} is not null"
        )

    def _find_repeated_ids(self, accepted: Callable[[str], str]) -> None:
        """Find the events of stale months whose id the same tenant used in another month: their hashes first."""
        if len(self.told) < 2:
            return
        run = self.connection.execute
        stale, others = self.portion(), self._portion(set(self.told) - self.stale, with_none=False)
        several = len(self.stale) > 1
        of = f"select event_id, occurred_at from ({self.files.columns(self.table, ['event_id', 'occurred_at'], stale)})"
        month = self.month if several else "cast(null as date)"
        events = self._rows(f"select coalesce(sum(events), 0) from kept.read where not ({self._unchanged()})")[0][0]
        portions = -(-max(events, 1) // _HASHES_AT_ONCE)
        run("create or replace temp table several_months (h ubigint)")
        for portion in range(portions):
            where = f" where h % {portions} = {portion}" if portions > 1 else ""
            run(
                "create or replace temp table stale_hashes as"
                " select h, min(m) as first_month, max(m) as last_month from"
                f" (select hash(event_id) as h, {month} as m from ({of})){where} group by h"
            )
            run("insert into several_months select h from stale_hashes where first_month <> last_month")
            if others.numbers:
                other = self.files.columns(self.table, ["event_id", "occurred_at"], others)
                run(
                    "insert into several_months select distinct h from (select hash(event_id) as h"
                    f" from ({other})) where h in (select h from stale_hashes)"
                )
        run("drop table stale_hashes")
        if self._rows("select count(*) from several_months") == [(0,)]:
            return
        everything = self.files.columns(self.table, ["event_id"])
        run(
            "create or replace temp table few as select file_id, _row from"
            f" ({everything}) where hash(event_id) in (select h from several_months)"
        )
        run(
            f"insert into kept.repeated_ids select distinct {month_of('occurred_at')}, tenant_id, event_id"
            f" from {accepted('few')} where tenant_id is not null except from kept.repeated_ids"
        )

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()


def _of_one_month(part: Path) -> tuple[date, int, datetime] | None:
    """Month, rows and latest time of a part, if its statistics say that all of its rows are of one month."""
    metadata = pq.read_metadata(part)
    place = {metadata.schema.column(index).path: index for index in range(metadata.num_columns)}
    if not {"occurred_at", "received_at"} <= place.keys():
        return None
    occurred, received = ([
        metadata.row_group(group).column(place[column]).statistics for group in range(metadata.num_row_groups)
    ] for column in ("occurred_at", "received_at"))  # fmt: skip
    if not occurred or not all(
        told and told.has_min_max and told.has_null_count and told.null_count == 0 for told in (*occurred, *received)
    ):
        return None
    try:
        times = [time for told in (*occurred, *received) for time in (told.min, told.max)]
    except (OverflowError, ValueError):
        # A time that no calendar has.
        return None
    if not all(isinstance(time, datetime) for time in times):
        return None
    months = {time.date().replace(day=1) for told in occurred for time in (told.min, told.max)}
    if len(months) > 1:
        return None
    return months.pop(), metadata.num_rows, max(told.max for told in received)


def _within(month: date) -> str:
    return f"occurred_at >= timestamp '{month}' and occurred_at < timestamp '{next_month(month)}'"


def next_month(month: date) -> date:
    """The first day of the next month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
