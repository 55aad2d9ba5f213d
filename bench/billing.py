"""Billing at volume: a month closed beside a hand-written script, PySpark, a longer history, and ten times the tenants.

Sizes by environment, so that a small run tests the benchmark itself:

    LOOMPIN_BENCH_EVENTS            events of the month that is closed
    LOOMPIN_BENCH_SPARK_EVENTS      of those, how many PySpark gets
    LOOMPIN_BENCH_HISTORY_EVENTS    events a month of the history
    LOOMPIN_BENCH_TENANTS           tenants of the month and of the history
    LOOMPIN_BENCH_MANY_TENANTS      tenants of the larger of the two closing nights
    LOOMPIN_BENCH_BILLING           the parts to run: month,spark,history,tenants
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from bench import memory, usage
from loompin import landing, versions
from loompin.contracts import load
from loompin.record import Record
from loompin.settings import PROJECT_ROOT, Settings
from loompin.sqltext import literal

CLOSED, CLOSE = date(2026, 1, 1), date(2026, 2, 1)
MEMORY = "6GB"

# Of rows of one key in a month one is left, whichever: what is delivered twice says the same.
_BY_HAND = """
    create table daily as
    select tenant_id, cast(occurred_at as date) as usage_date, driver_key, sum(quantity) as quantity, count(*) as events
    from (
        select distinct on (tenant_id, event_id, date_trunc('month', occurred_at)) * from read_parquet({files})
        where cancels_event_id is null
    )
    group by all"""

# The same, by someone who looks for repeated ids first.
_BY_HASH = """
    create table twice as
    select h from (
        select hash(tenant_id, event_id, date_trunc('month', occurred_at)) as h from read_parquet({files})
    ) group by h having count(*) > 1;
    create table daily as
    with events as (
        select *, hash(tenant_id, event_id, date_trunc('month', occurred_at)) as h from read_parquet({files})
        where cancels_event_id is null
    )
    select tenant_id, cast(occurred_at as date) as usage_date, driver_key, sum(quantity) as quantity, count(*) as events
    from (
        select * from events where h not in (select h from twice)
        union all
        select distinct on (tenant_id, event_id, date_trunc('month', occurred_at)) * from events
        where h in (select h from twice)
    )
    group by all"""


def run(report: Callable[..., None]) -> None:
    """Measure and report the ratios of the parts that are asked for."""
    parts = os.environ.get("LOOMPIN_BENCH_BILLING", "month,spark,history,tenants").split(",")
    if "month" in parts or "spark" in parts:
        with _folder() as folder:
            _month(folder, parts, report)
    if "history" in parts:
        _history(report)
    if "tenants" in parts:
        _tenants(report)


# -- a month ---------------------------------------------------------------------------------------------------------


def _month(folder: Path, parts: list[str], report: Callable[..., None]) -> None:
    events, tenants = _size("EVENTS", 100_000_000), _size("TENANTS", 5_000)
    _tell(f"writing {events:,} usage events of {tenants:,} tenants")
    settings = Settings(home=folder / "home", source=folder / "home" / "source")
    settings.prepare()
    usage.write_source(settings.source, tenants, CLOSED)
    files = usage.land_source(settings, CLOSE)
    record = Record(settings.raw)
    landed = []
    days = list(usage.days_of(CLOSED, date(2026, 1, 31)))
    each = max(usage.CANCELLED, events // len(days) // usage.CANCELLED * usage.CANCELLED)
    for number, day in enumerate(days):
        query = usage.events(number * each, each, day, 1, tenants)
        landed.append(usage.land_events(record, query, f"usage_events/{day}.parquet", CLOSE, None))
    usage.complete(settings, CLOSE, [*files, *landed])
    paths = [record.part(version) for version in landed]
    if "month" in parts:
        _against_scripts(folder, settings, paths, each * len(days), tenants, report)
    if "spark" in parts:
        wanted = max(1, min(len(paths), round(_size("SPARK_EVENTS", 30_000_000) / each)))
        _against_spark(folder, paths[:wanted], each * wanted, report)


def _against_scripts(
    folder: Path, settings: Settings, paths: list[Path], events: int, tenants: int, report: Callable[..., None]
) -> None:
    _tell("the hand-written scripts")
    by_hand, daily = _script(folder, _BY_HAND, paths)
    by_hash, _ = _script(folder, _BY_HASH, paths)
    _tell("landed Parquet to final invoices")
    found = _closing(settings)
    # What was delivered twice is gone on both sides; the script knows nothing of cancellations. January makes two
    # invoices a tenant: one of its fee, one of its usage with the fee of February.
    if (found["events"] + found["cancelled"], found["invoices"]) != (daily[1], 2 * tenants):
        raise SystemExit(f"the month and the script do not agree: {found}, {daily}")
    _tell(json.dumps(found))
    report(
        f"{events:,} usage events from landed Parquet to {found['invoices']:,} final invoices",
        found["seconds"],
        "DuckDB script: distinct on, add up by tenant, day and driver",
        by_hand,
        1.5,
        f"{found['duplicates']:,} duplicates removed, {found['laws']} laws checked, "
        f"{found['peak_bytes'] / 1e9:.1f} GB at most; "
        f"a script that looks for repeated hashes first took {by_hash:.1f} s",
    )
    memory.check("the month", found["peak_bytes"])


def _script(folder: Path, script: str, paths: list[Path]) -> tuple[float, tuple[Any, ...]]:
    database = folder / "script.duckdb"
    files = _list(paths)
    with contextlib.closing(landing.connect(memory_limit=MEMORY, temp=folder, database=database)) as connection:
        started = time.perf_counter()
        connection.execute(script.format(files=files))
        seconds = time.perf_counter() - started
        row = connection.execute("select sum(quantity), cast(sum(events) as bigint) from daily").fetchone()
    database.unlink()
    assert row is not None
    return seconds, row


def _closing(settings: Settings) -> dict[str, Any]:
    done = process([sys.executable, "-m", "bench.closing", str(settings.home), CLOSE.isoformat()], {})
    result: dict[str, Any] = json.loads(done.splitlines()[-1])
    return result


# -- PySpark ---------------------------------------------------------------------------------------------------------


def _against_spark(folder: Path, paths: list[Path], events: int, report: Callable[..., None]) -> None:
    process(["bash", str(PROJECT_ROOT / "tools" / "bench_env.sh")], {})
    _tell(f"PySpark on {events:,} events")
    result = folder / "spark"
    python = PROJECT_ROOT / ".bootstrap" / "bench" / "bin" / "python"
    spark = float(
        process(
            [str(python), str(PROJECT_ROOT / "bench" / "spark_usage.py"), str(result), *map(str, paths)],
            {"PYSPARK_PYTHON": str(python)},
        ).splitlines()[-1]
    )
    ours, daily = _alone(folder, paths)
    with duckdb.connect() as connection:
        told = connection.execute(
            f"select sum(quantity), cast(sum(events) as bigint) from read_parquet({literal(str(result / '*.parquet'))})"
        ).fetchone()
    if told != daily:
        raise SystemExit(f"PySpark and the warehouse do not agree: {told}, {daily}")
    report(
        f"duplicates and aggregation of {events:,} usage events",
        ours,
        "PySpark local[2] on the same files",
        spark,
        0.25,
        f"{spark / ours:.1f} times faster; Spark's start is not counted",
    )


def _alone(folder: Path, paths: list[Path]) -> tuple[float, tuple[Any, ...]]:
    """What the warehouse does to find duplicates and add up, without rules, references and prices."""
    table = load().tables["usage_events"]
    rows = sum(duckdb.execute(f"select count(*) from read_parquet({_list(paths)})").fetchone() or (0,))
    with contextlib.closing(landing.connect(memory_limit=MEMORY, temp=folder)) as connection:
        connection.execute(
            "create view events as select *, tenant_id as tenant_ref, file_index as file_id, file_row_number as _row,"
            " cast(received_at as date) as _known_night, cast(received_at as date) as _brought, '' as _source_file"
            f" from read_parquet({_list(paths)}, file_row_number = true)"
        )
        started = time.perf_counter()
        keys = versions.hashed_columns(table)
        versions.find_repeated(connection, "events", rows, keys, "repeated")
        versions.find_candidates(connection, "events", keys, "repeated", "few")
        few = "(select r.* from events as r semi join few as a on a.file_id = r.file_id and a._row = r._row)"
        versions.find_same_key(connection, table, few, "told")
        connection.execute(
            "create table daily as select tenant_id, cast(occurred_at as date) as usage_date, driver_key,"
            " sum(quantity) as quantity, count(*) as events from events as r where cancels_event_id is null and not"
            " exists (select 1 from told as t where t.file_id = r.file_id and t._row = r._row) group by all"
        )
        seconds = time.perf_counter() - started
        row = connection.execute("select sum(quantity), cast(sum(events) as bigint) from daily").fetchone()
    assert row is not None
    return seconds, row


# -- history ---------------------------------------------------------------------------------------------------------


def _history(report: Callable[..., None]) -> None:
    events, tenants = _size("HISTORY_EVENTS", 3_000_000), _size("TENANTS", 5_000)
    seconds = {}
    for months in (1, 12):
        with _folder() as folder:
            _tell(f"{months} months of {events:,} events")
            seconds[months] = _one_more_night(folder, months, events, tenants)
    report(
        f"one more night ({events // 30:,} events) with 12 months of history",
        seconds[12],
        "the same with 1 month of history",
        seconds[1],
        1.2,
        f"{tenants:,} tenants, {events:,} events a month",
    )


def _one_more_night(folder: Path, months: int, events: int, tenants: int) -> float:
    """The seconds of a whole night in the middle of a month, after a night that knew all before it."""
    settings = Settings(home=folder / "home", source=folder / "source")
    settings.prepare()
    last = date(2026, 1, 15)
    first = date(2025, 1, 15) if months == 12 else date(2025, 12, 15)
    usage.write_source(settings.source, tenants, first.replace(day=1))
    before = last - timedelta(days=2)
    known = usage.land_source(settings, before)
    record = Record(settings.raw)
    each, number = events // 30, 0
    # A file a month, then one a day: the fewer files, the sooner they are written.
    month = first
    while month < last.replace(day=1):
        until = (month.replace(day=1) + timedelta(days=31)).replace(day=1)
        days = (until - month).days
        query = usage.events(number, each * days, month, days, tenants)
        known.append(usage.land_events(record, query, f"usage_events/{month}.parquet", before, None))
        number, month = number + each * days, until
    for day in usage.days_of(month, last + timedelta(days=1)):
        query, file = usage.events(number, each, day, 1, tenants), f"usage_events/{day}.parquet"
        if day <= before:
            known.append(usage.land_events(record, query, file, before, None))
        else:
            usage.write_events(settings.source / file, query)
        number += each
    usage.complete(settings, before, known)
    night_alone(settings, before + timedelta(days=1))
    return night_alone(settings, last)


# -- tenants ---------------------------------------------------------------------------------------------------------


def _tenants(report: Callable[..., None]) -> None:
    many = _size("MANY_TENANTS", 100_000)
    seconds = {}
    for tenants in (many // 10, many):
        with _folder() as folder:
            _tell(f"a closing night of {tenants:,} tenants")
            seconds[tenants] = _closing_night(folder, tenants)
    report(
        f"a closing night at {many:,} tenants",
        seconds[many],
        f"the same at {many // 10:,} tenants",
        seconds[many // 10],
        11.0,
        "one event a tenant, driver and day",
    )


def _closing_night(folder: Path, tenants: int) -> float:
    settings = Settings(home=folder / "home", source=folder / "source")
    settings.prepare()
    usage.write_source(settings.source, tenants, CLOSED)
    before = CLOSE - timedelta(days=1)
    known = usage.land_source(settings, before)
    each = tenants * usage.DRIVERS
    for number, day in enumerate(usage.days_of(CLOSED, CLOSE)):
        query = usage.events(number * each, each, day, 1, tenants)
        known.append(usage.land_events(Record(settings.raw), query, f"usage_events/{day}.parquet", before, None))
    usage.complete(settings, before, known)
    return night_alone(settings, CLOSE)


# -- small helpers ---------------------------------------------------------------------------------------------------


def night_alone(settings: Settings, night: date) -> float:
    """The seconds of a night, without the orchestrator, pages and PDFs, in a process of its own."""
    folders = [str(settings.home), str(settings.source)]
    done = process([sys.executable, "-m", "bench.nights", *folders, night.isoformat()], {})
    found = json.loads(done.splitlines()[-1])
    _tell(json.dumps(found))
    return float(found["seconds"])


def process(command: list[str], environment: dict[str, str]) -> str:
    """What a command prints; the benchmark ends if the command fails."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:3])} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def _list(paths: list[Path]) -> str:
    return f"[{', '.join(literal(str(path)) for path in paths)}]"


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="loompin-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _size(name: str, default: int) -> int:
    return int(os.environ.get(f"LOOMPIN_BENCH_{name}", default))


def _tell(what: str) -> None:
    print(f"billing: {what}", file=sys.stderr, flush=True)
