"""Landing 5 million CSV rows, with casts and quarantine, beside DuckDB's plain typed copy of the same file to Parquet.

Two shapes: survey responses (text, timestamps, doubles) and usage events (exact decimals). One row in a thousand has a
value of the wrong type: landing keeps it for the quarantine, the plain copy drops it. The best of the rounds counts on
both sides: what else the machine does makes either slower, never faster.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from loompin import landing
from loompin.contracts import Table, load
from loompin.sqltext import literal, name

ROWS = 5_000_000
ROUNDS = 3

_SHAPES = {
    "survey_responses": """
        select 'res_' || i as response_id, 'sur_00' || (i % 5 + 1) as survey_id,
            '550e8400-e29b-41d4-a716-446655440000' as tenant_id, 'cust_' || (i % 90000) as customer_id,
            strftime(timestamp '2026-01-01' + to_seconds(i % 2600000), '%Y-%m-%dT%H:%M:%SZ') as submitted_at,
            strftime(timestamp '2026-01-01' + to_seconds(i % 2600000 + 60), '%Y-%m-%dT%H:%M:%SZ') as received_at,
            cast(i % 5 + 1 as varchar) as csat, cast(i % 11 as varchar) as nps_score,
            'The app is fine, but delivery took ' || (i % 40) || ' days' as text,
            case when i % 1000 = 7 then 'high' else cast((i % 2001 - 1000) / 1000.0 as varchar) end as sentiment_score,
            '0.5' as joy, '0.25' as anger, '' as fear
        from range({rows}) as r (i)""",
    "usage_events": """
        select 'use_' || i as event_id, '550e8400-e29b-41d4-a716-446655440000' as tenant_id,
            'ai.input.1k' as driver_key,
            case when i % 1000 = 7 then 'x' else cast(cast(i % 100000 as decimal(18, 3)) / 8 as varchar) end
                as quantity,
            strftime(timestamp '2026-01-01' + to_seconds(i % 2600000), '%Y-%m-%dT%H:%M:%SZ') as occurred_at,
            strftime(timestamp '2026-01-01' + to_seconds(i % 2600000 + 60), '%Y-%m-%dT%H:%M:%SZ') as received_at,
            '' as cancels_event_id
        from range({rows}) as r (i)""",
}

_NOTES = {"usage_events": "DuckDB's own cast of text to 128-bit decimals is slow"}


def run(report: Callable[..., None]) -> None:
    """Measure and report a ratio for each shape."""
    for table, query in _SHAPES.items():
        with tempfile.TemporaryDirectory(prefix="loompin-bench-") as folder:
            path = Path(folder) / f"{table}.csv"
            with contextlib.closing(landing.connect(temp=Path(folder))) as connection:
                connection.execute(f"copy ({query.format(rows=ROWS)}) to {literal(str(path))} (format csv, header)")
            ours, plain = [], []
            for _ in range(ROUNDS):
                plain.append(_plain(load().tables[table], path, Path(folder)))
                ours.append(_land(load().tables[table], path, Path(folder)))
            size = path.stat().st_size >> 20
            report(
                f"landing {ROWS:,} rows of {table} ({size} MB)",
                min(ours),
                "DuckDB's typed copy to Parquet",
                min(plain),
                1.5,
                _NOTES.get(table, ""),
            )


def _plain(table: Table, path: Path, folder: Path) -> float:
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
    spec = ", ".join(f"{literal(column)}: {literal(table.by_name[column].data_type)}" for column in header)
    target = folder / "plain.parquet"
    with contextlib.closing(landing.connect(temp=folder)) as connection:
        started = time.perf_counter()
        connection.execute(
            f"copy (select {', '.join(name(column) for column in header)} from read_csv({literal(str(path))},"
            f" columns = {{{spec}}}, header = true, auto_detect = false, ignore_errors = true))"
            f" to {literal(str(target))} (format parquet)"
        )
        return time.perf_counter() - started


def _land(table: Table, path: Path, folder: Path) -> float:
    target = folder / "part.parquet"
    started = time.perf_counter()
    with contextlib.closing(landing.connect(temp=folder)) as connection:
        part = landing.land(connection, table, path, landing.scan(path), target)
    seconds = time.perf_counter() - started
    if part.rows != ROWS:
        raise SystemExit(f"landed {part.rows} of {ROWS} rows")
    return seconds
