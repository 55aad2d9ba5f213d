"""All rules of a table on 10 million rows beside one hand-written SQL pass that finds the same rows.

The table is `customer_events` with platform rules (a pattern, a range, a required value) and those of its contract (its
key among them). What is compared is the validation of that table, from landed Parquet to counted and quarantined rows,
and a statement that writes the offending rows with the rules they break. Memory is limited to 2 GB.
"""

from __future__ import annotations

import contextlib
import csv
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

from loompin import contracts as contracts_module
from loompin import landing, validation
from loompin.record import FileVersion, Record
from loompin.rules import read_expectations
from loompin.sqltext import literal

ROWS = 10_000_000
ROUNDS = 3
NIGHT = date(2026, 2, 10)
TENANT = "550e8400-e29b-41d4-a716-446655440000"

_EVENTS = f"""
    select 'evt_' || i as id, '{TENANT}' as tenant_id, 'support_ticket' as event_type,
        case when i % 1000 = 3 then 1.5 when i % 5000 = 4 then cast('nan' as double) else (i % 2001 - 1000) / 1000.0 end
            as sentiment_score,
        case when i % 2000 = 1 then 'free' else 'App crashes on startup' end as summary,
        cast(null as varchar) as customer_id,
        case when i % 4000 = 5 then null else timestamp '2026-01-01' + to_seconds(i % 2600000) end as occurred_at,
        timestamp '2026-01-01' + to_seconds(i % 2600000) as received_at, cast(null as varchar) as product_id
    from range({ROWS}) as r (i)"""

_RULES = [
    ("event", "occurred_at", "not_null", "{}"),
    ("event", "sentiment_score", "range", '{"min": -1, "max": 1}'),
    ("event", "summary", "regex", "^[A-Z]"),
]

_BY_HAND = """
    create table offending as
    with events as (select *, file_row_number as row_number from read_parquet({parts}, file_row_number = true)),
    twice as (select id from events group by id having count(*) > 1),
    told as (
        select row_number, occurred_at is null as f1,
            sentiment_score < -1 or sentiment_score > 1 or isnan(sentiment_score) as f2,
            not regexp_matches(summary, '^[A-Z]') as f3, id is null as f4,
            tenant_id not in ({tenants}) as f5, id in (select id from twice) as f6
        from events
    )
    select * from told where f1 or f2 or f3 or f4 or f5 or f6"""


def run(report: Callable[..., None]) -> None:
    """Measure and report the ratio."""
    with tempfile.TemporaryDirectory(prefix="loompin-bench-") as text:
        folder = Path(text)
        record, versions = _landed(folder)
        hand, ours, failed = [], [], 0
        for _ in range(ROUNDS):
            hand.append(_by_hand(folder, record, versions))
            seconds, failed = _validate(folder, record, versions)
            ours.append(seconds)
    report(
        f"all rules on {ROWS:,} rows ({failed:,} rows offend)",
        min(ours),
        "one hand-written pass",
        min(hand),
        2.0,
        "2 GB memory limit on both sides",
    )


def _landed(folder: Path) -> tuple[Record, list[FileVersion]]:
    contracts = contracts_module.load()
    record = Record(folder / "raw")
    files = {
        "tenants": [("id", "name", "plan", "status", "region"), (TENANT, "Acme Corp", "Pro", "active", "eu")],
        "validation_rules": [("entity_type", "field_name", "rule_type", "params"), *_RULES],
    }
    for table, rows in files.items():
        with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    with contextlib.closing(landing.connect(temp=folder)) as connection:
        connection.execute(f"copy ({_EVENTS}) to {literal(str(folder / 'customer_events.parquet'))} (format parquet)")
        versions = []
        for table in ("tenants", "validation_rules", "customer_events"):
            path = next(folder.glob(f"{table}.*"))
            scanned = landing.scan(path)
            version = FileVersion(
                id=table, table=table, source_file=path.name, content=scanned.content,
                contract=contracts.tables[table].fingerprint, rows=0, rejects=0, columns=[], extra_columns=[],
                line_offset=0, bytes=0, source_bytes=scanned.size, accepted=NIGHT,
            )  # fmt: skip
            part = landing.land(connection, contracts.tables[table], path, scanned, record.part(version))
            versions.append(replace(version, **part.__dict__))
    return record, versions


def _by_hand(folder: Path, record: Record, versions: list[FileVersion]) -> float:
    events = next(version for version in versions if version.table == "customer_events")
    with contextlib.closing(landing.connect(memory_limit="2GB", temp=folder)) as connection:
        started = time.perf_counter()
        connection.execute(_BY_HAND.format(parts=literal(str(record.part(events))), tenants=literal(TENANT)))
        return time.perf_counter() - started


def _validate(folder: Path, record: Record, versions: list[FileVersion]) -> tuple[float, int]:
    state = validation.State(NIGHT, versions, [], {}, [])
    with contextlib.closing(landing.connect(memory_limit="2GB", temp=folder)) as connection:
        landed = validation.validate(connection, record, contracts_module.load(), read_expectations(), state)
    events = next(table for table in landed if table.table == "customer_events")
    return events.seconds, sum(file.rows_quarantined for file in events.files)
