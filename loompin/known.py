"""Since when each row is known: SQL for the rows of a table as a night knows them.

A row is known at its own time (`received_at`, else the event time, else the night that brought it; the beginning if
its file came with the first night). If the night of that time was completed before the row was accepted, it is known
at the night that accepted it. A row that was held back in the quarantine is accepted by the night that releases it;
one that needs a row of another table (a tenant, a driver) is not known before that one. So nights one by one, the
first load of a long history and a rebuild from the record agree. Design section 6 has the rules; which rows then
break one is found in `validation`.

Two tables are made here: `landing.files` (one row a file version) and, for files with several versions or with rows
once held back, `landing.lineage_<table>` (since when each of their rows has been accepted).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from loompin import sqltext
from loompin.contracts import Column, Table
from loompin.landing import metric_units
from loompin.record import FileVersion, Night, Record
from loompin.sqltext import literal, name

BEGINNING = "date '0001-01-01'"
_NEVER = "date '-infinity'"


@dataclass(frozen=True)
class State:
    """What a validation works on: the record's view of the files at a night.

    `versions` are all accepted versions up to the night, oldest first for each file; `gone` the files that left the
    source folder; `failed` the table and reason of each file that could not be landed; `nights` the completed nights
    before this one.
    """

    night: date
    versions: Sequence[FileVersion]
    gone: Sequence[str]
    failed: Mapping[str, tuple[str, str]]
    nights: Sequence[Night]


@dataclass(frozen=True)
class Portion:
    """Some of a table's landed rows: those of the versions `numbers` for which `where` holds (SQL over the columns that
    files bring; None for all of them)."""

    numbers: Sequence[int]
    where: str | None


def day(value: date | None) -> str:
    """A date as SQL."""
    return f"date '{value.isoformat()}'" if value else _NEVER


def insert(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, pa.DataType], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert Python rows into a table. (Registering a relation by name would import pandas, which takes a second.)"""
    if rows:
        arrays = [
            pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), columns.values(), strict=True)
        ]
        connection.from_arrow(pa.table(arrays, names=list(columns))).insert_into(table)


_FILE_COLUMNS = {
    "file_id": pa.int32(), "version_id": pa.string(), "table_name": pa.string(), "source_file": pa.string(),
    "part": pa.string(), "ordinal": pa.int32(), "is_current": pa.bool_(), "accepted": pa.date32(),
    "completed_before": pa.date32(), "from_beginning": pa.bool_(), "line_offset": pa.int64(),
    "line_steps": pa.list_(pa.struct([("first", pa.int64()), ("shift", pa.int64())])),
    "stands_for": pa.int32(), "lined": pa.bool_(),
}  # fmt: skip


# What `parts` tells of a row's file.
_OF_ITS_FILE = (
    "file_id", "source_file", "accepted", "completed_before", "from_beginning", "line_offset", "line_steps", "lined",
)  # fmt: skip
# So many files are read one by one, more of them as a list.
_FEW_FILES = 4


class Files:
    """The file versions of a night, in `landing.files`, and SQL to read them.

    A version's number (`file_id`) is its place in `state.versions`. `stands_for` is the last version with the same
    bytes: what was landed under a former contract is read from there. A `lined` file has several versions, or rows
    once held back.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, record: Record, state: State, part: Callable[[FileVersion], Path]
    ) -> None:
        self.connection, self.state, self.part = connection, state, part
        self.versions = list(state.versions)
        self._with_lineage: set[str] = set()
        self.has_held = self._read_held(record)
        self._write_files()

    def of(self, table: Table) -> list[FileVersion]:
        """The current version of each file of a table, oldest first."""
        return [self.versions[number] for number in self._current.get(table.name, ())]

    def numbers(self, table: Table, with_former: bool = False) -> list[int]:
        """The numbers of a table's current versions; `with_former`: and of those whose rows may still be told."""
        if with_former and self.has_lineage(table):
            return self.all_numbers(table)
        return self._current.get(table.name, [])

    def all_numbers(self, table: Table) -> list[int]:
        """The numbers of all versions of a table, also of former ones."""
        return [number for number, version in enumerate(self.versions) if version.table == table.name]

    def number(self, version: FileVersion) -> int:
        """A current version's number."""
        return self._latest[version.source_file]

    def has_lineage(self, table: Table) -> bool:
        """Whether a file of a table has several versions, or rows that were once held back."""
        return any(self.versions[number].source_file in self._lined for number in self._current.get(table.name, ()))

    def _read_held(self, record: Record) -> set[str]:
        """Read which rows were held back, and released, by which nights; the versions that such rows are of."""
        run = self.connection.execute
        run("create table landing.held (version_id varchar, row_number bigint, night date, released boolean)")
        run("create table landing.completed (night date, completed_before date)")
        insert(
            self.connection,
            "landing.completed",
            {"night": pa.date32(), "completed_before": pa.date32()},
            [(night.night, night.completed_before) for night in self.state.nights],
        )
        paths = [(night.night, record.held_path(night.night)) for night in self.state.nights]
        for night, path in paths:
            if path.exists():
                run(
                    f"insert into landing.held select version_id, row_number, {day(night)}, released"
                    f" from read_parquet({sqltext.path(path)})"
                )
        return {row[0] for row in run("select distinct version_id from landing.held").fetchall()}

    def _write_files(self) -> None:
        latest: dict[str, int] = {}
        same_bytes: dict[tuple[str, str, str], int] = {}
        count: dict[str, int] = {}
        lined: set[str] = set()
        for number, version in enumerate(self.versions):
            file = version.source_file
            latest[file] = number
            same_bytes[file, version.table, version.content] = number
            count[file] = count.get(file, 0) + 1
            if count[file] > 1 or version.id in self.has_held:
                lined.add(file)
        self._latest, self._lined = latest, lined
        self._current: dict[str, list[int]] = {}
        for number in sorted(latest.values()):
            self._current.setdefault(self.versions[number].table, []).append(number)
        rows = []
        ordinal: dict[str, int] = {}
        for number, version in enumerate(self.versions):
            file = version.source_file
            ordinal[file] = ordinal.get(file, 0) + 1
            rows.append((
                number, version.id, version.table, file, str(self.part(version)), ordinal[file], latest[file] == number,
                version.accepted or self.state.night, version.completed_before, version.completed_before is None,
                version.line_offset, [{"first": first, "shift": shift} for first, shift in version.line_steps],
                same_bytes[file, version.table, version.content], file in lined,
            ))  # fmt: skip
        self.connection.execute(
            "create table landing.files (file_id integer, version_id varchar, table_name varchar, source_file varchar,"
            " part varchar, ordinal integer, is_current boolean, accepted date, completed_before date,"
            ' from_beginning boolean, line_offset bigint, line_steps struct("first" bigint, "shift" bigint)[],'
            " stands_for integer, lined boolean)"
        )
        insert(self.connection, "landing.files", _FILE_COLUMNS, rows)

    # -- SQL --------------------------------------------------------------------------------------------------------

    def rows(
        self, table: Table, resolved: Resolved, bad_that_stay: Iterable[str] = (), with_gone: bool = False,
        among: str | None = None, portion: Portion | None = None,
    ) -> str:  # fmt: skip
        """SQL of the rows of a table known at the night: typed, resolved, with where they come from.

        Columns: `file_id`, `_row`, the contract's, `_bad` (columns of the wrong type), `_brought` (the night that
        brought the row, the beginning if it was the first), `_known_night`, `_source_file`, `_source_line`, `_stays`
        (its file lacks it now).

        Args:
            table: the table; its lineage is made on the way.
            resolved: what its references mean.
            bad_that_stay: columns whose wrong values do not make a row leave.
            with_gone: also rows that a later version of their file lacks, whether or not the table keeps them.
            among: only the landed rows of this relation (`file_id`, `_row`), which are few.
            portion: only these landed rows.
        """
        numbers, lineage = self._read_from(table, keep_gone=table.rows_stay or with_gone, portion=portion)
        kept = [] if table.rows_stay or with_gone or not lineage else ["not coalesce(l.gone, false)"]
        kept.append(f"not {_leaves(bad_that_stay)}")
        told = f"{'coalesce(l.gone, false)' if lineage else 'false'} as _stays"
        landed = self.landed(table, numbers, portion, among) if numbers else ""
        return self._rows(table, resolved, numbers, lineage, told, kept, landed=landed)

    def with_columns(
        self, table: Table, resolved: Resolved, portion: Portion | None = None, among: str | None = None
    ) -> str:
        """SQL of some columns of the landed rows of a table, resolved, with `file_id` and `_row`: of all that `rows`
        may hold, whether or not they are known yet. Much sooner read than `rows`."""
        numbers, _ = self._read_from(table, keep_gone=table.rows_stay, portion=portion)
        if not numbers:
            columns = ", ".join(f"cast(null as {column.data_type}) as {name(column.name)}" for column in table.columns)
            return f"select cast(null as integer) as file_id, cast(null as bigint) as _row, {columns} where false"
        landed = self.landed(table, numbers, portion, among)
        return f"select p.file_id, p._row, {resolved.columns} from ({landed}) as p{resolved.joins}"

    def columns(
        self, table: Table, columns: Sequence[str], portion: Portion | None = None, among: str | None = None
    ) -> str:
        """SQL of some columns of landed rows as files bring them, with `file_id` and `_row`: as `with_columns`."""
        return self.with_columns(table, Resolved(", ".join(f"p.{name(c)}" for c in columns), ""), portion, among)

    def untold(self, table: Table, bad_that_stay: Iterable[str], portion: Portion) -> str | None:
        """SQL of what `rows` holds of a portion, but without what its references mean; None if each row's own
        acceptance has to be looked up."""
        numbers, lineage = self._read_from(table, keep_gone=table.rows_stay, portion=portion)
        if lineage or not numbers:
            return None
        items = ["q._row", "q.file_id", "q._bad", f"q.{name(table.tenant or '')} as tenant_ref"]
        items += [f"q.{name(column.name)}" for column in table.file_columns if column.name != table.tenant]
        known = f"coalesce(cast({when_sql(table, 'q.')} as date) <= {day(self.state.night)}, true)"
        return (
            f"select {', '.join(items)} from ({self.landed(table, numbers, portion)}) as q"
            f" where not {_leaves(bad_that_stay, 'q.')} and {known}"
        )

    def unreleased(self, table: Table) -> str | None:
        """SQL of the rows (`file_id`, `_row`) of a table that all nights so far held back; None if there are none."""
        _, lineage = self._read_from(table, keep_gone=True)
        return f"select file_id, _row from {lineage} where unreleased" if lineage else None

    def added_up(
        self, table: Table, resolved: Resolved, joined: Resolved, excluded: str, bad_that_stay: Iterable[str],
        portion: Portion,
    ) -> str:  # fmt: skip
        """SQL of the usage events of a portion added up, before anything is looked up for them: there are few sums.

        Columns: `is_lateness`; for sums by day `tenant_id`, `tenant_slug`, `driver_key`, `usage_date`, `known_night`,
        `is_cancellation`; for those of lateness `usage_date`, `is_cancellation`, `minutes_late`; and `quantity`,
        `events`.

        Args:
            table: usage_events.
            resolved: SQL of the tenant's columns.
            joined: what the joins are and since when references are known, as for `rows`.
            excluded: SQL of the rows (`file_id`, `_row`) that do not count.
            bad_that_stay: columns whose wrong values do not make a row leave.
            portion: the landed rows.
        """
        numbers, lineage = self._read_from(table, keep_gone=table.rows_stay, portion=portion)
        if not numbers:
            return (
                "select false as is_lateness, cast(null as varchar) as tenant_id, cast(null as varchar) as tenant_slug,"
                " cast(null as varchar) as driver_key, cast(null as date) as usage_date,"
                " cast(null as date) as known_night, false as is_cancellation, cast(null as bigint) as minutes_late,"
                " cast(null as decimal(38, 6)) as quantity, cast(null as bigint) as events where false"
            )
        when = f"cast({when_sql(table, 'q.')} as date)"
        of_row, where, join = "", [f"not {_leaves(bad_that_stay, 'q.')}"], ""
        if lineage:
            join = f" left join {lineage} as l on l.file_id = q.file_id and l._row = q._row"
            of_row = ", l.accepted as l_accepted, l.completed_before as l_before, l.from_beginning as l_beginning,"
            of_row += " l.brought as l_brought"
            where.append("(not q.lined or l._row is not null)")
        where.append(f"coalesce({when} <= {day(self.state.night)}, true)")
        by_lineage = ", l_accepted, l_before, l_beginning, l_brought" if lineage else ""
        of_file = {"accepted": "accepted", "completed_before": "before", "from_beginning": "beginning"}
        told = {c: f"coalesce(p.l_{short}, f.{c})" if lineage else f"f.{c}" for c, short in of_file.items()}
        brought = "coalesce(p.l_brought, f.accepted)" if lineage else "f.accepted"
        _, known_night = _times(
            told["accepted"], f"coalesce({told['completed_before']}, {_NEVER})", told["from_beginning"], brought,
            "p.time", joined.known,
        )  # fmt: skip
        return f"""
            with events as (
                select q.file_id, q.tenant_id, q.driver_key, coalesce(q.quantity, 0) as quantity, {when} as time,
                    cast(q.occurred_at as date) as usage_date, q.cancels_event_id is not null as is_cancellation,
                    date_diff('minute', q.occurred_at, q.received_at) as minutes_late{of_row}
                from ({self.landed(table, numbers, portion)}) as q
                anti join ({excluded}) as e on e.file_id = q.file_id and e._row = q._row{join}
                where {" and ".join(where)}
            ), sums as (
                select file_id, tenant_id, driver_key, time{by_lineage}, usage_date, is_cancellation, minutes_late,
                    grouping(file_id) = 1 as is_lateness, sum(quantity) as quantity, count(*) as events
                from events
                group by grouping sets (
                    (file_id, tenant_id, driver_key, time{by_lineage}, usage_date, is_cancellation),
                    (usage_date, is_cancellation, minutes_late)
                )
            )
            select p.is_lateness, {resolved.columns}, p.driver_key, p.usage_date, {known_night} as known_night,
                p.is_cancellation, p.minutes_late, p.quantity, p.events
            from sums as p left join landing.files as f on f.file_id = p.file_id{joined.joins}
            """

    def history(self, table: Table, resolved: Resolved, held_now: str, bad_that_stay: Iterable[str] = ()) -> str:
        """SQL of the rows of a table that any night up to this one knew, with the nights between which they stood.

        Columns as of `rows`, but instead of `_stays`: `_ended_night` (since when its file lacks the row, or it is held
        back; NULL if neither), `_refused` (it was held back between the two nights, not accepted).

        Args:
            table: the table, validated.
            resolved: what its references mean.
            held_now: SQL of the rows that the night holds back: `file_id`, `_row`.
            bad_that_stay: columns whose wrong values do not make a row leave.
        """
        current = self._current.get(table.name, [])
        held_since = self._held_since(table, held_now)
        lined = self._lined | held_since
        versions = [number for number in self.all_numbers(table) if self.versions[number].source_file in lined]
        held = f" left join ({held_now}) as n on n.file_id = p.file_id and n._row = p._row"
        refused = f"({_leaves(bad_that_stay)} or n._row is not null)"
        if not versions:
            told = f"cast(null as date) as _ended_night, {refused} as _refused"
            return self._rows(table, resolved, current, None, told, (), held)
        intervals = f"landing.{name('intervals_' + table.name)}"
        self._intervals(table, intervals, held_now, versions)
        told = f"l.ended as _ended_night, coalesce(l.refused, {refused}) as _refused"
        numbers = self._with_gone(current, versions)
        return self._rows(table, resolved, numbers, intervals, told, (), held, lined_too=held_since)

    def _held_since(self, table: Table, held_now: str) -> set[str]:
        """Files without a lineage so far of which the night holds back a row that an earlier night accepted."""
        found = self.connection.execute(
            f"select distinct f.source_file from ({held_now}) as n join landing.files as f on f.file_id = n.file_id"
            f" where f.table_name = {literal(table.name)} and not f.lined and f.accepted < {day(self.state.night)}"
        ).fetchall()
        return {file for (file,) in found}

    def _rows(
        self, table: Table, resolved: Resolved, numbers: Sequence[int], lineage: str | None, told: str,
        kept: Sequence[str], join: str = "", landed: str | None = None, lined_too: Collection[str] = (),
    ) -> str:  # fmt: skip
        """SQL of landed rows `p`, with since when each is known by its file or by its `lineage` `l`.

        `lined_too` are files whose rows are in the lineage though they are not `lined`.
        """
        if not numbers:
            columns = ", ".join(f"cast(null as {column.data_type}) as {name(column.name)}" for column in table.columns)
            return (
                f"select 0 as file_id, cast(0 as bigint) as _row, {columns}, cast(null as varchar) as _bad,"
                " cast(null as date) as _brought, cast(null as date) as _known_night, '' as _source_file,"
                " cast(null as bigint) as _source_line, false as _stays, cast(null as date) as _ended_night,"
                " false as _refused where false"
            )
        accepted, before, beginning = "p.accepted", f"coalesce(p.completed_before, {_NEVER})", "p.from_beginning"
        brought, where = "p.accepted", list(kept)
        if lineage:
            join = f" left join {lineage} as l on l.file_id = p.file_id and l._row = p._row{join}"
            accepted, before = f"coalesce(l.accepted, {accepted})", f"coalesce(l.completed_before, {before})"
            beginning, brought = f"coalesce(l.from_beginning, {beginning})", f"coalesce(l.brought, {brought})"
            too = ", ".join(literal(file) for file in sorted(lined_too))
            lined = f"(p.lined or p.source_file in ({too}))" if too else "p.lined"
            where.append(f"(not {lined} or l._row is not null)")
        when = when_sql(table, "p.")
        without_time, known_night = _times(
            accepted, before, beginning, brought, f"cast({when} as date)" if when else None, resolved.known
        )
        return (
            f"select * from (select p.file_id, p._row, {resolved.columns}, p._bad, {without_time} as _brought,"
            f" {known_night} as _known_night,"
            f" p.source_file as _source_file, {self.line(numbers)} as _source_line, {told}"
            f" from ({landed or self.parts(table, numbers)}) as p{join}{resolved.joins}"
            f"{' where ' if where else ''}{' and '.join(where)})"
            f" where _known_night <= {day(self.state.night)}"
        )

    def landed(
        self, table: Table, numbers: Sequence[int], portion: Portion | None = None, among: str | None = None
    ) -> str:
        """SQL as of `parts`, of a portion of them or of few."""
        sql = self.parts(table, numbers)
        where = f" where {portion.where}" if portion and portion.where else ""
        join = f" semi join {among} as a on a.file_id = q.file_id and a._row = q._row" if among else ""
        return f"select q.* from ({sql}) as q{join}{where}" if where or join else sql

    def parts(self, table: Table, numbers: Sequence[int]) -> str:
        """SQL of the landed rows of some versions: `file_id`, `_row`, what was landed, and their file's
        `landing.files`."""
        wanted = [*table.file_columns, *metric_units(table)]
        by_contract: dict[str, list[int]] = {}
        for number in numbers:
            by_contract.setdefault(self.versions[number].contract, []).append(number)
        return " union all ".join(
            self._parts(chosen, [name(column.name) for column in wanted])
            if contract == table.fingerprint
            else self._parts(chosen, self._former(chosen[-1], wanted))
            for contract, chosen in by_contract.items()
        )

    def _parts(self, numbers: Sequence[int], columns: Sequence[str]) -> str:
        landed = f"file_row_number as _row, {', '.join(columns)}, _line, _bad, _raw"
        paths = [sqltext.path(self.part(self.versions[number])) for number in numbers]
        if len(numbers) <= _FEW_FILES:
            return " union all ".join(
                f"select {landed}, {self._constants(number)} from read_parquet({path}, file_row_number = true)"
                for number, path in zip(numbers, paths, strict=True)
            )
        # By place in the list: a name would be compared for every row.
        number = f"list_value({', '.join(map(str, numbers))})[cast(q.file_index as bigint) + 1]"
        return (
            f"select {landed}, {', '.join(f'f.{column}' for column in _OF_ITS_FILE)}"
            f" from read_parquet([{', '.join(paths)}], file_row_number = true) as q"
            f" join landing.files as f on f.file_id = {number}"
        )

    def _constants(self, number: int) -> str:
        """SQL of what a file's row in `landing.files` says: constants are planned faster than a join."""
        version = self.versions[number]
        steps = ", ".join(f"{{'first': {first}, 'shift': {shift}}}" for first, shift in version.line_steps)
        values = {
            "file_id": str(number),
            "source_file": literal(version.source_file),
            "accepted": day(version.accepted or self.state.night),
            "completed_before": day(version.completed_before),
            "from_beginning": str(version.completed_before is None).lower(),
            "line_offset": str(version.line_offset),
            "line_steps": f"[{steps}]" if steps else 'cast([] as struct("first" bigint, shift bigint)[])',
            "lined": str(version.source_file in self._lined).lower(),
        }
        return ", ".join(f"{values[column]} as {column}" for column in _OF_ITS_FILE)

    def _former(self, number: int, wanted: Sequence[Column]) -> list[str]:
        """Columns of a part that was landed under a former contract: what still fits is kept."""
        path = sqltext.path(self.part(self.versions[number]))
        found = {row[0] for row in self.connection.execute(f"describe select * from read_parquet({path})").fetchall()}
        return [
            f"try_cast({name(c.name) if c.name in found else 'null'} as {c.data_type}) as {name(c.name)}"
            for c in wanted
        ]

    def line(self, numbers: Sequence[int]) -> str:
        """SQL of the physical line of a landed row `p` of some versions."""
        line = "coalesce(p._line, p._row) + p.line_offset"
        if any(self.versions[number].line_steps for number in numbers):
            before = "list_filter(p.line_steps, lambda s: s.first <= coalesce(p._line, p._row))"
            line += f" + coalesce({before}[-1].shift, 0)"
        return line

    def _read_from(self, table: Table, keep_gone: bool, portion: Portion | None = None) -> tuple[list[int], str | None]:
        """The versions whose parts hold the rows of a table, and its lineage if a row's acceptance is not its
        file's."""
        numbers, lineage = self._whole(table, keep_gone)
        if portion is None:
            return numbers, lineage
        chosen = set(portion.numbers)
        numbers = [number for number in numbers if number in chosen]
        lined = any(self.versions[number].source_file in self._lined for number in numbers)
        return numbers, lineage if lined else None

    def _whole(self, table: Table, keep_gone: bool) -> tuple[list[int], str | None]:
        current = self._current.get(table.name, [])
        lined = [number for number in current if self.versions[number].source_file in self._lined]
        if not lined:
            return current, None
        files = {self.versions[number].source_file for number in lined}
        versions = [number for number in self.all_numbers(table) if self.versions[number].source_file in files]
        lineage = f"landing.{name('lineage_' + table.name)}"
        if table.name not in self._with_lineage:
            self._with_lineage.add(table.name)
            self._lineage(table, lineage, versions)
        if keep_gone:
            return self._with_gone(current, versions), lineage
        return current, lineage

    def _with_gone(self, current: Iterable[int], versions: Iterable[int]) -> list[int]:
        """The current versions, and the last of `versions` with each content: rows that are gone are read there."""
        last = {(self.versions[number].source_file, self.versions[number].content): number for number in versions}
        return sorted({*current, *last.values()})

    def _lineage(self, table: Table, target: str, versions: Sequence[int]) -> None:
        """Since when each row of some files has been accepted.

        A row is the same in two versions of a file if its content is (the nth of equal rows being the nth), or if the
        bytes of the whole file are and only the contract changed. It keeps the night that first accepted it. One that
        was held back from the start counts from the night that released it.
        """
        last_night = self.state.nights[-1].night if self.state.nights else None
        self.connection.execute(
            f"""
            create table {target} as
            with {self._standing(table, versions)}, events as (
                select version_id, row_number, min(night) filter (not released) as held,
                    min(night) filter (released) as released, arg_max(released, night) as last_released
                from landing.held group by version_id, row_number
            ), accepted as (
                select v.*, e.held, e.released, coalesce(not e.last_released, false) as last_held
                from in_versions as v
                left join events as e on e.version_id = v.version_id and e.row_number = v._row
            ), since as (
                select a.*,
                    a.held is not null and case
                        when a.at_time is null or cast(a.at_time as date) <= a.before then a.brought
                        else cast(a.at_time as date) end > coalesce(h.completed_before, {_NEVER}) as held_from_start,
                    coalesce(r.completed_before, {_NEVER}) as before_release
                from accepted as a
                left join landing.completed as h on h.night = a.held
                left join landing.completed as r on r.night = a.released
            ), histories as (
                select source_file, content, content_again, copy,
                    arg_max(file_id, ordinal) as file_id, arg_max(_row, ordinal) as _row,
                    not bool_or(is_current) as gone, arg_max(last_held, ordinal) as last_held,
                    min(brought) filter (good) as brought,
                    coalesce(bool_or(from_beginning) filter (good), false) as from_beginning,
                    min(case when held_from_start then {{'accepted': released, 'before': before_release}}
                        else {{'accepted': brought, 'before': before}} end)
                        filter (good and not (held_from_start and released is null)) as first
                from since group by all
            )
            select file_id, _row, gone, brought, from_beginning, first is null as unreleased,
                coalesce(first.accepted, {day(self.state.night)}) as accepted,
                coalesce(first.before, {day(last_night)}) as completed_before
            from histories
            where brought is not null and not (gone and (last_held or first is null))
            """
        )

    def _standing(self, table: Table, versions: Sequence[int]) -> str:
        """SQL (common table expressions) of each row in each of some versions: `in_versions`.

        Columns: `source_file`, `content`, `content_again`, `copy` (what makes it the same row in another version),
        `file_id`, `_row` (where it stands), `version_id`, `ordinal`, `is_current`, `brought`, `before` (the nights that
        accepted the version and that was completed before), `from_beginning`, `good`, `at_time`.
        """
        columns = [name(column.name) for column in table.file_columns]
        when = when_sql(table, "") or "cast(null as timestamp)"
        last = {(v.source_file, v.content): n for n, v in enumerate(self.versions) if n in set(versions)}
        standing = sorted(last.values())
        former = [number for number in versions if number not in set(standing)]
        was_bad = "select cast(null as integer) as file_id, cast(null as bigint) as _row where false"
        if former:
            was_bad = f"select file_id, _row from ({self.parts(table, former)}) where _bad is not null"
        return f"""standing as (
                select file_id, _row, _bad is not null as bad, {when} as at_time,
                    hash({", ".join([*columns, "_raw"])}) as content,
                    hash({", ".join(["_raw", "42", *reversed(columns)])}) as content_again
                from ({self.parts(table, standing)})
            ), copies as (
                select *, row_number() over (partition by file_id, content, content_again order by _row) as copy
                from standing
            ), was_bad as (
                {was_bad}
            ), in_versions as (
                select c.*, v.source_file, v.version_id, v.ordinal, s.is_current, v.accepted as brought,
                    v.from_beginning, coalesce(v.completed_before, {_NEVER}) as before,
                    case when v.file_id = c.file_id then not c.bad else b._row is null end as good
                from copies as c
                join landing.files as s on s.file_id = c.file_id
                join landing.files as v on v.stands_for = c.file_id
                left join was_bad as b on b.file_id = v.file_id and b._row = c._row
            )"""

    def _intervals(self, table: Table, target: str, held_now: str, versions: Sequence[int]) -> None:
        """The nights between which each row of some versions of files was accepted, or refused.

        One row a row and interval: `file_id`, `_row` (where it stands last), `accepted` (the night with which the
        interval begins), `completed_before` (the night completed before that), `from_beginning`, `brought`, `ended`,
        `refused`.
        """
        night = day(self.state.night)
        last_night = day(self.state.nights[-1].night if self.state.nights else None)
        row = "source_file, content, content_again, copy"
        # In some tables what a night accepted stays so, whatever becomes of its file and of the rules.
        was_known = "state = 'accepted' and coalesce(cast(at_time as date), night) <= night"
        stays = f"bool_or({was_known}) over (partition by {row} order by night)" if table.rows_stay else "false"
        self.connection.execute(
            f"""
            create table {target} as
            with {self._standing(table, versions)}, versions as (
                select source_file, version_id, ordinal, accepted from landing.files
                where file_id in ({", ".join(map(str, versions))})
            ), nights as (
                select night, max(before) as before from (
                    select accepted as night, coalesce(completed_before, {_NEVER}) as before from landing.files
                    union all select night, coalesce(completed_before, {_NEVER}) from landing.completed
                    union all select {night}, {last_night}
                ) group by night
            ), points as (
                select source_file, accepted as night from versions
                union select v.source_file, h.night from landing.held as h
                    join versions as v on v.version_id = h.version_id
                union select source_file, {night} from versions
            ), at_points as (
                select p.source_file, p.night, max(v.ordinal) as ordinal
                from points as p join versions as v on v.source_file = p.source_file and v.accepted <= p.night
                group by p.source_file, p.night
            ), told as (
                select {row}, arg_max(file_id, ordinal) as file_id, arg_max(_row, ordinal) as _row,
                    min(brought) as brought, bool_or(from_beginning) as from_beginning, any_value(at_time) as at_time
                from in_versions group by {row}
            ), held_then as (
                select p.source_file, p.night, h.row_number, arg_max(h.released, h.night) as released
                from at_points as p
                join versions as v on v.source_file = p.source_file and v.ordinal = p.ordinal
                join landing.held as h on h.version_id = v.version_id and h.night <= p.night
                where p.night < {night}
                group by p.source_file, p.night, h.row_number
            ), states as (
                select t.*, p.night, case
                        when s.ordinal is null then 'absent'
                        when not s.good or h.released = false or (p.night >= {night} and n._row is not null)
                            then 'refused'
                        else 'accepted'
                    end as state
                from told as t
                join at_points as p on p.source_file = t.source_file
                left join in_versions as s on s.source_file = t.source_file and s.content = t.content
                    and s.content_again = t.content_again and s.copy = t.copy and s.ordinal = p.ordinal
                left join held_then as h
                    on h.source_file = p.source_file and h.night = p.night and h.row_number = s._row
                left join ({held_now}) as n on n.file_id = s.file_id and n._row = s._row
            ), kept as (
                select * replace (case when {stays} then 'accepted' else state end as state) from states
            ), turns as (
                select *, lag(state) over (partition by {row} order by night) is distinct from state as turned from kept
            ), starts as (
                select *, lead(night) over (partition by {row} order by night) as ended from turns where turned
            )
            select s.file_id, s._row, s.night as accepted, n.before as completed_before, s.from_beginning, s.brought,
                s.ended, s.state = 'refused' as refused
            from starts as s join nights as n on n.night = s.night
            where s.state <> 'absent'
            """
        )


@dataclass(frozen=True)
class Resolved:
    """How the references of a table's rows `p` are resolved: SQL of its columns, of the joins that takes, and of the
    nights
    since which the rows that it cannot do without are known."""

    columns: str
    joins: str
    known: tuple[str, ...] = ()


def _times(
    accepted: str, before: str, beginning: str, brought: str, when: str | None, known: Sequence[str]
) -> tuple[str, str]:
    """SQL of the night that brought a row (the beginning if it was the first) and of the night that it is known from.

    Args:
        accepted: SQL of the night that accepted the row.
        before: of the night that was completed before that.
        beginning: of whether its file came with the first night.
        brought: of the night that brought the row.
        when: of the day that the row itself names; None if its table has no time.
        known: of the nights since which what it refers to is known.
    """
    without_time = f"case when {beginning} then {BEGINNING} else {brought} end"
    time = f"coalesce({when}, {without_time})" if when else without_time
    if known:
        time = f"greatest({time}, {', '.join(known)})"
    return without_time, f"case when {time} > {before} then {time} else {accepted} end"


def _leaves(bad_that_stay: Iterable[str], prefix: str = "p.") -> str:
    """SQL that is true for a row that leaves for a value of the wrong type."""
    columns = ", ".join(literal(column) for column in bad_that_stay)
    stays = f" and not list_has_all([{columns}], string_split({prefix}_bad, ','))" if columns else ""
    return f"({prefix}_bad is not null{stays})"


def when_sql(table: Table, prefix: str) -> str:
    """SQL of the time that a row itself names; empty if its table has none."""
    columns = [prefix + name(column) for column in table.known_by]
    return f"coalesce({', '.join(columns)})" if len(columns) > 1 else "".join(columns)
