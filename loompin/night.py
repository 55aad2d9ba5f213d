"""One night, step by step: plan, land, publish. Deriving (dbt) stands between the last two and is the orchestrator's.

A night is a UTC date that has ended. It is *new* if it comes after the last completed one, a *repeat* if it is that
one, and *earlier* otherwise: then it is recomputed in a scratch warehouse, compared, and never published.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import duckdb

from loompin import contracts as contracts_module
from loompin import database_files, finals, landing, service_months, sources, validation
from loompin import publish as publishing
from loompin.record import FileVersion, Night, Record, current_versions, version_id
from loompin.rules import read_expectations
from loompin.settings import PROJECT_ROOT, Settings
from loompin.sqltext import literal
from loompin.validation import CheckResult, FileAudit, State, TableLanding

Progress = Callable[[str], None]


class NightError(Exception):
    """The night could not be completed; the message tells the user why. The published file is as before."""


class UsageError(Exception):
    """The call was wrong; the message says how to make it right."""


@dataclass(frozen=True)
class NightPlan:
    """What a night is to this home: `mode` says whether it may be published, `warehouse` is the file to work in."""

    night: date
    mode: Literal["new", "repeat", "earlier"]
    warehouse: Path
    last_completed: date | None


@dataclass
class Landed:
    """What landing and validation of a night found."""

    night: date
    tables: list[TableLanding]
    unknown_files: list[str] = field(default_factory=list)

    @property
    def blocking(self) -> list[str]:
        """Why this night may not be published; empty if it may."""
        checks = [check for table in self.tables for check in table.checks]
        return [
            f"{check.rule_id}: {check.message}"
            for check in checks
            if check.severity == "block" and check.status != "pass"
        ]


def yesterday() -> date:
    """The last UTC date that has ended."""
    return datetime.now(UTC).date() - timedelta(days=1)


def plan(settings: Settings, night: date) -> NightPlan:
    """What this night is to this home.

    Raises:
        UsageError: the night has not ended.
    """
    if night > yesterday():
        raise UsageError(f"{night} has not ended yet (UTC); the last night that has is {yesterday()}")
    record = Record(settings.raw)
    _finish(settings, record)
    nights = record.nights()
    last = nights[-1].night if nights else None
    if last is None or night > last:
        return NightPlan(night, "new", settings.warehouse, last)
    if night == last:
        return NightPlan(night, "repeat", settings.warehouse, last)
    # Views hold the name of their database, which is the file's, so a scratch warehouse has the same.
    return NightPlan(night, "earlier", settings.scratch / night.isoformat() / settings.warehouse.name, last)


def is_complete(settings: Settings, plan: NightPlan) -> bool:
    """Whether a repeat has nothing to do: what this night published stands."""
    if plan.mode != "repeat" or not settings.warehouse.exists():
        return False
    stands = publishing.published_as(settings)
    return stands is not None and stands.night == plan.night


def land(settings: Settings, plan: NightPlan, progress: Progress | None = None) -> Landed:
    """Land what is new in the source folder, validate, and build the schemas `source` and `landing` of the warehouse.

    A repeat or an earlier night reads the record alone. Landing again without a change lands nothing again.

    Raises:
        UsageError: the source folder is missing or holds no known table.
        contracts.ContractError: a contract is wrong.
        OSError: the disk is full or the home cannot be written.
    """
    tell = progress or _silent
    settings.prepare()
    contracts, expectations = contracts_module.load(), read_expectations()
    record = Record(settings.raw)
    nights = record.nights()
    unknown: list[str] = []
    accepted: list[FileVersion] = []
    gone: list[str] = []
    if plan.mode == "new":
        accepted, gone, failed, unknown = _arrivals(settings, record, nights, plan.night, tell)
        versions = [version for night in nights for version in night.accepted] + accepted
        state = State(plan.night, versions, gone, failed, nights)
    else:
        state = recorded(record, plan.night)
    plan.warehouse.parent.mkdir(parents=True, exist_ok=True)
    database_files.discard_unclosed(plan.warehouse)
    _private(plan.warehouse)
    with contextlib.closing(_open(settings, plan.warehouse)) as connection:
        tables = validation.validate(
            connection, record, contracts, expectations, state, progress=lambda table: tell(f"validating {table}")
        )
        if plan.mode == "new":
            landing.make_durable(record.part(version) for version in accepted)
            _write_pending(connection, record, plan, nights, accepted, gone)
        finals.tell(connection, record, [night for night in record.nights() if night.night <= plan.night])
        landed = Landed(plan.night, tables, unknown)
        _remember(connection, landed)
    return landed


def recorded(record: Record, night: date) -> State:
    """What the record knows of the files as of a night that is completed, or was caught up by a later one."""
    nights = [done for done in record.nights() if done.night <= night]
    before = [done for done in nights if done.night < night]
    if len(before) == len(nights):
        # A night that was missed: what the next completed one accepted was known by then as far as its times say.
        nights += [done for done in record.nights() if done.night > night][:1]
    versions = [version for done in nights for version in done.accepted]
    return State(night, versions, nights[-1].gone if nights else [], {}, before)


def land_early(settings: Settings, progress: Progress | None = None) -> Landed:
    """Land and validate what is new in the source folder for the next night, without touching the warehouse.

    The parts stand in the record's folder; the night that accepts them finds them there.
    """
    settings.prepare()
    record = Record(settings.raw)
    nights = record.nights()
    return _dry(settings, record, nights, record.part, progress or _silent)


def check(settings: Settings, progress: Progress | None = None) -> Landed:
    """What a next night would accept, quarantine and find broken. Writes nothing in the home."""
    record = Record(settings.raw)
    nights = record.nights()
    with tempfile.TemporaryDirectory(prefix="loompin-check-") as folder:
        accepted_parts = Path(folder)

        def part(version: FileVersion) -> Path:
            kept = record.part(version)
            return kept if kept.exists() else accepted_parts / version.table / kept.name

        return _dry(settings, record, nights, part, progress or _silent, temp=accepted_parts)


def landed_before(warehouse: Path) -> Landed | None:
    """What the warehouse holds now: the night that was landed into it, with its checks. None without such a file."""
    if not warehouse.exists() or database_files.log_of(warehouse).exists():
        return None
    try:
        with contextlib.closing(duckdb.connect(str(warehouse), read_only=True)) as connection:
            row = connection.execute("select summary from landing.summary").fetchone()
    except duckdb.CatalogException:
        return None
    except duckdb.Error as error:
        if _is_corrupt(error):
            return None
        raise
    if row is None:
        return None
    return _from_plain(json.loads(row[0]))


def publish(
    settings: Settings, plan: NightPlan, run_id: str, expected: Collection[str] | None = None
) -> publishing.Published:
    """Publish a new night, or compare a repeated or earlier one with what was published for it.

    `expected` are the marts to publish, all if not given.

    Raises:
        NightError: a blocking rule failed, the publication did not pass its checks, or the night differs from before.
    """
    landed = landed_before(plan.warehouse)
    if landed is None or landed.night != plan.night:
        raise NightError(f"the warehouse does not hold the night {plan.night}; land and derive it first")
    if landed.blocking:
        raise NightError("the night is not published: " + "; ".join(landed.blocking[:5]))
    record = Record(settings.raw)
    if plan.mode == "new":
        pending = record.pending()
        if pending is None or pending.night != plan.night:
            raise NightError(f"no landed files stand for the night {plan.night}; land it first")
        published = _build(settings, plan, run_id, expected)
        kept = finals.keep(published.working, record.pending_finals_path, plan.night, plan.last_completed)
        record.write_pending(
            replace(
                pending, run_id=run_id, digests=published.digests, code_version=code_version(),
                finals=asdict(kept) if kept else None,
            )
        )  # fmt: skip
        publishing.put(published)
        record.complete()
        service_months.remember_tested(plan.warehouse)
        return published
    recorded = next((night for night in record.nights() if night.night == plan.night), None)
    published = _build(settings, plan, run_id, expected)
    try:
        differences = compare(recorded.digests, published.digests) if recorded else []
        if differences:
            raise NightError(
                f"the night {plan.night} differs from what was published for it in {', '.join(differences)};"
                " nothing was published"
            )
        if plan.mode == "repeat" and not is_complete(settings, plan):
            publishing.put(published)
    finally:
        publishing.discard(published)
        if plan.mode == "earlier":
            shutil.rmtree(plan.warehouse.parent, ignore_errors=True)
    return published


def compare(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The published tables whose content differs between two computations of one night."""
    return sorted(table for table in before.keys() | now.keys() if before.get(table) != now.get(table))


@functools.lru_cache(maxsize=1)
def code_version() -> str:
    """The commit of the project, or its package version where there is no git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return found.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        from importlib.metadata import version

        return version("loompin-warehouse")


# -- inside ----------------------------------------------------------------------------------------------------------


def _open(settings: Settings, warehouse: Path) -> duckdb.DuckDBPyConnection:
    try:
        return landing.connect(temp=settings.scratch, database=warehouse)
    except duckdb.Error as error:
        if not _is_corrupt(error):
            raise NightError(f"the warehouse cannot be opened for writing: {str(error).splitlines()[0]}") from error
    # All of it is made again.
    database_files.discard(warehouse)
    _private(warehouse)
    return landing.connect(temp=settings.scratch, database=warehouse)


def _is_corrupt(error: duckdb.Error) -> bool:
    """Whether it is the file's content that keeps it from being opened, not its owner, its disk or another process."""
    told = str(error).lower()
    return not any(reason in told for reason in ("lock on file", "permission", "no space", "out of memory"))


def _private(warehouse: Path) -> None:
    """Make sure that the warehouse is readable by its owner only, before raw values are in it."""
    if warehouse.exists():
        warehouse.chmod(0o600)
        return
    mask = os.umask(0o077)
    try:
        duckdb.connect(str(warehouse)).close()
    finally:
        os.umask(mask)


def _finish(settings: Settings, record: Record) -> None:
    """A night that was killed after its publication, before its record, is completed now."""
    pending = record.pending()
    if pending is None or not pending.run_id:
        return
    stands = publishing.published_as(settings)
    if stands is not None and stands.run_id == pending.run_id and stands.night == pending.night:
        record.complete()


def _arrivals(
    settings: Settings, record: Record, nights: list[Night], night: date, tell: Progress
) -> tuple[list[FileVersion], list[str], dict[str, tuple[str, str]], list[str]]:
    """Land new and changed files: the versions accepted, the files gone, those that failed and why, unknown ones."""
    record.tidy()
    found = _discover(settings)
    current = current_versions(nights)
    before = nights[-1].night if nights else None
    accepted, failed = _land_files(found, current, record.part, settings.scratch, tell)
    stamped = [replace(version, accepted=night, completed_before=before) for version in accepted]
    there = {file.name for file in found.files}
    gone = sorted(file for file in current if file not in there)
    return stamped, gone, failed, found.unknown


def _build(settings: Settings, plan: NightPlan, run_id: str, expected: Collection[str] | None) -> publishing.Published:
    try:
        return publishing.build(
            settings, plan.warehouse, plan.night, run_id, code_version(), expected=expected,
            published_months=settings.published_months if plan.mode == "new" else None,
        )  # fmt: skip
    except publishing.NotPublishable as error:
        raise NightError(f"the night is not published: {error}") from error


def _discover(settings: Settings) -> sources.Found:
    try:
        return sources.discover(settings.source, contracts_module.load())
    except sources.NoSource as error:
        raise UsageError(str(error)) from error


def _land_files(
    found: sources.Found,
    current: dict[str, FileVersion],
    part: Callable[[FileVersion], Path],
    temp: Path,
    tell: Progress,
) -> tuple[list[FileVersion], dict[str, tuple[str, str]]]:
    contracts = contracts_module.load()
    accepted: list[FileVersion] = []
    failed: dict[str, tuple[str, str]] = {}
    scans: dict[str, tuple[Path, landing.Scan]] = {}
    connection = landing.connect(temp=temp)
    for file in found.files:
        table = contracts.tables[file.table]
        try:
            if file.size < 0:
                raise landing.FileFailed("is no readable file; make it a file that this user may read, or remove it")
            scanned = landing.scan(file.path)
            known = current.get(file.name)
            if known and (known.content, known.contract, known.table) == (
                scanned.content,
                table.fingerprint,
                table.name,
            ):
                continue
            identity = version_id(table.name, file.name, scanned.content, table.fingerprint)
            version = FileVersion(
                id=identity,
                table=table.name,
                source_file=file.name,
                content=scanned.content,
                contract=table.fingerprint,
                rows=0,
                rejects=0,
                columns=[],
                extra_columns=[],
                line_offset=0,
                bytes=0,
                source_bytes=scanned.size,
            )
            target = part(version)
            landed = landing.recall(target)
            if landed is None:
                tell(f"landing {file.name}")
                landed = landing.land(connection, table, file.path, scanned, target)
            accepted.append(replace(version, **asdict(landed)))
            scans[file.name] = (file.path, scanned)
        except landing.FileFailed as error:
            failed[file.name] = (table.name, str(error))
        except PermissionError as error:
            failed[file.name] = (table.name, f"cannot be read ({error.strerror}); make it readable for this user")
        except FileNotFoundError:
            failed[file.name] = (table.name, "vanished while it was read; it is tried again by the next run")
    connection.close()
    # Whoever writes slowly has written more while the other files were landed.
    for version in list(accepted):
        if landing.changed_since(*scans[version.source_file]):
            accepted.remove(version)
            failed[version.source_file] = (version.table, landing.STILL_WRITTEN)
    return accepted, failed


def _dry(
    settings: Settings, record: Record, nights: list[Night], part: Callable[[FileVersion], Path], tell: Progress,
    temp: Path | None = None,
) -> Landed:  # fmt: skip
    contracts, expectations = contracts_module.load(), read_expectations()
    found = _discover(settings)
    current = current_versions(nights)
    accepted, failed = _land_files(found, current, part, temp or settings.scratch, tell)
    last = nights[-1].night if nights else None
    night = max(yesterday(), last + timedelta(days=1)) if last else yesterday()
    stamped = [replace(version, accepted=night, completed_before=last) for version in accepted]
    there = {file.name for file in found.files}
    versions = [version for done in nights for version in done.accepted] + stamped
    state = State(night, versions, sorted(file for file in current if file not in there), failed, nights)
    with contextlib.closing(landing.connect(temp=temp or settings.scratch)) as connection:
        tables = validation.validate(connection, record, contracts, expectations, state, part, _silent)
    return Landed(night, tables, found.unknown)


def _write_pending(
    connection: duckdb.DuckDBPyConnection,
    record: Record,
    plan: NightPlan,
    nights: list[Night],
    accepted: list[FileVersion],
    gone: list[str],
) -> None:
    """State in the record what this night accepts, and which rows it begins or ceases to hold back."""
    record.folder.mkdir(parents=True, exist_ok=True)
    record.pending_held_path.unlink(missing_ok=True)
    connection.execute(
        """
        create temp table held_changes as
        with held_now as (
            select distinct f.version_id, e._row as row_number from landing.excluded as e
            join landing.files as f on f.file_id = e.file_id where e.status = 'quarantined' and f.is_current
        ),
        held_before as (
            select version_id, row_number from landing.held group by all
            having arg_max(released, night) = false
        )
        select version_id, row_number, false as released from held_now
            where (version_id, row_number) not in (select (version_id, row_number) from held_before)
        union all
        select b.version_id, b.row_number, true from held_before as b
            join landing.files as f on f.version_id = b.version_id and f.is_current
            where (b.version_id, b.row_number) not in (select (version_id, row_number) from held_now)
        order by all
        """
    )
    changes = connection.execute("select count(*) from held_changes").fetchone()
    if changes and changes[0]:
        connection.execute(f"copy held_changes to {literal(str(record.pending_held_path))} (format parquet)")
    connection.execute("drop table held_changes")
    record.write_pending(
        Night(
            night=plan.night,
            run_id="",
            completed_before=nights[-1].night if nights else None,
            accepted=accepted,
            gone=gone,
        )
    )


def _remember(connection: duckdb.DuckDBPyConnection, landed: Landed) -> None:
    connection.execute("create or replace table landing.summary (summary varchar)")
    summary = json.dumps(asdict(landed), default=str)
    # A parameter instead of a constant would import pandas, which takes a quarter of a second.
    connection.execute(f"insert into landing.summary values ({literal(summary)})")


def _from_plain(plain: dict[str, Any]) -> Landed:
    tables = [
        TableLanding(
            **{
                **table,
                "files": [FileAudit(**file) for file in table["files"]],
                "checks": [CheckResult(**check) for check in table["checks"]],
            }
        )
        for table in plain["tables"]
    ]
    return Landed(date.fromisoformat(plain["night"]), tables, plain["unknown_files"])


def _silent(_message: str) -> None:
    """Progress that nobody reads."""
