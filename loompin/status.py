"""How a home stands: its last night, what that found, what came late, what a next night would do.

Read from the published file, the record and the landed Parquet parts, never from the warehouse: it can be asked while a
night runs. How it is shown is the command line's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from loompin import contracts as contracts_module
from loompin import landing, lock, reading, sources
from loompin.contracts import Table
from loompin.night import yesterday
from loompin.record import FileVersion, Night, Record, current_versions
from loompin.settings import Settings
from loompin.sqltext import literal, name


@dataclass(frozen=True)
class Late:
    """Rows of a file whose own time lies on a night that was complete before the file came."""

    table: str
    source_file: str
    rows: int
    earliest: datetime


@dataclass
class NextNight:
    """What a next night would find in the source folder. `ends` is the last night that has ended; `due` are due."""

    ends: date
    due: int
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    contract_changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    new_bytes: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class Quarantined:
    """Rows that one rule keeps out of a table, and where the first of them stands."""

    table: str
    rule: str
    rows: int
    first: str
    reason: str


@dataclass(frozen=True)
class PublishedNight:
    """What the published file says about itself."""

    night: date
    published_at: datetime
    run_id: str
    tables: int
    rows: int
    read: int
    accepted: int
    checks: dict[tuple[str, str], int]
    not_passed: list[dict[str, Any]]
    quarantined: list[Quarantined]


@dataclass(frozen=True)
class Status:
    """Everything that `loompin status` shows."""

    running: str | None
    nights: list[Night]
    published: PublishedNight | None
    late: list[Late]
    next: NextNight


def read(settings: Settings) -> Status:
    """Look at a home and its source folder. Writes nothing."""
    record = Record(settings.raw)
    nights = record.nights()
    return Status(
        running=lock.holder(settings),
        nights=nights,
        published=read_published(settings) if settings.published.exists() else None,
        late=late_rows(record, nights),
        next=next_night(settings, nights),
    )


def late_rows(record: Record, nights: Sequence[Night]) -> list[Late]:
    """What the last of these nights accepted too late to be counted on its own night, by file.

    A row that stood in a former version of its file already is not late again.
    """
    if not nights or nights[-1].completed_before is None:
        return []
    declared = contracts_module.load().tables
    before = current_versions(nights[:-1])
    found = []
    with landing.connect(memory_limit=reading.MEMORY_LIMIT) as connection:
        for version in nights[-1].accepted:
            table = declared.get(version.table)
            if table is None or not table.known_by or not record.part(version).exists():
                continue
            row = connection.execute(_late_sql(record, table, version, before.get(version.source_file))).fetchone()
            if row and row[0]:
                found.append(Late(version.table, version.source_file, int(row[0]), row[1]))
    return found


def _late_sql(record: Record, table: Table, version: FileVersion, former: FileVersion | None) -> str:
    columns = ", ".join(
        f"cast({name(column.name)} as varchar)" for column in table.file_columns if column.name in version.columns
    )
    when = ", ".join(name(column) for column in table.known_by)
    before = version.completed_before

    def rows(of: FileVersion) -> str:
        part = literal(str(record.part(of)))
        return (
            f"select {columns}, coalesce({when}, null) as at_time from read_parquet({part})"
            f" where _bad is null and cast(coalesce({when}, null) as date) <= date '{before}'"
        )

    same = former is not None and former.contract == version.contract and record.part(former).exists()
    since = f" except all ({rows(former)})" if former is not None and same else ""
    return f"select count(*), min(at_time) from ({rows(version)}{since})"


def next_night(settings: Settings, nights: Sequence[Night]) -> NextNight:
    """Compare the source folder with the record. Files of a known size are told apart by their content."""
    ends = yesterday()
    last = nights[-1].night if nights else None
    found_next = NextNight(ends=ends, due=(ends - last).days if last else 1)
    declared = contracts_module.load()
    try:
        found = sources.discover(settings.source, declared)
    except sources.NoSource as error:
        found_next.problem = str(error)
        return found_next
    current = current_versions(nights)
    for file in found.files:
        known = current.get(file.name)
        if file.size < 0:
            found_next.unreadable.append(file.name)
        elif known is None:
            found_next.new.append(file.name)
            found_next.new_bytes += file.size
        elif known.source_bytes != file.size or _content(file) != known.content:
            found_next.changed.append(file.name)
            found_next.new_bytes += file.size
        elif known.contract != declared.tables[file.table].fingerprint:
            found_next.contract_changed.append(file.name)
    there = {file.name for file in found.files}
    found_next.gone = sorted(name for name in current if name not in there)
    found_next.unknown = found.unknown
    return found_next


def _content(file: sources.SourceFile) -> str:
    try:
        return landing.scan(file.path).content
    except landing.FileFailed:
        return ""


def read_published(settings: Settings) -> PublishedNight:
    """What the published file says about itself."""
    with reading.published(settings) as connection:
        as_of = reading.rows(connection, "select night, run_id, published_at from data_as_of")[0]
        tables = reading.rows(
            connection,
            "select count(*) as tables, cast(coalesce(sum(estimated_size), 0) as bigint) as rows from duckdb_tables()"
            " where schema_name = 'main' and not internal",
        )[0]
        audit = reading.rows(
            connection,
            "select cast(coalesce(sum(rows_read), 0) as bigint) as rows_read,"
            " cast(coalesce(sum(rows_accepted), 0) as bigint) as rows_accepted from load_audit",
        )[0]
        quality = reading.rows(
            connection,
            "select rule_id, table_name, severity, status, rows_checked, rows_failed from data_quality"
            " where night = (select max(night) from data_as_of) order by status, severity, rule_id",
        )
        quarantined = reading.rows(
            connection,
            "select table_name, rule, count(*) as rows_held, min(reason) as reason,"
            " arg_min(concat_ws(':', source_file, source_line), (source_file, source_line)) as first_place"
            " from quarantine group by table_name, rule order by rows_held desc, table_name, rule",
        )
    checks: dict[tuple[str, str], int] = {}
    for check in quality:
        kind = (str(check["status"]), str(check["severity"]))
        checks[kind] = checks.get(kind, 0) + 1
    return PublishedNight(
        night=as_of["night"], published_at=as_of["published_at"], run_id=str(as_of["run_id"]),
        tables=tables["tables"], rows=tables["rows"], read=audit["rows_read"], accepted=audit["rows_accepted"],
        checks=checks, not_passed=[check for check in quality if check["status"] != "pass"],
        quarantined=[
            Quarantined(row["table_name"], row["rule"], row["rows_held"], row["first_place"] or "", row["reason"] or "")
            for row in quarantined
        ],
    )  # fmt: skip
