"""A month closed: landed Parquet to final invoices with every law checked. A process of its own.

Started by `bench.billing` as `python -m bench.closing HOME NIGHT`; prints one JSON line: seconds, those of its parts,
the peak of memory, and what was billed, so that it can be compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from datetime import date
from pathlib import Path

import duckdb

from bench import memory
from dagster_project.dbt_process import DbtProcess
from loompin import contracts, finals, landing, telemetry, validation
from loompin.record import Record
from loompin.rules import read_expectations
from loompin.settings import Settings

# What billing derives, and its laws; the rest of the warehouse has nothing to do with a month's close.
SELECT = ("+invoices", "+tenant_usage_daily", "+path:tests/billing")


def main(home: Path, night: date) -> dict[str, object]:
    """Validate the landed files of a home, then derive its invoices and check the laws."""
    telemetry.disable()
    settings = Settings(home=home, source=home / "source")
    settings.prepare()
    record = Record(settings.raw)
    versions = [version for done in record.nights() for version in done.accepted]
    started = time.perf_counter()
    dbt = DbtProcess(settings, settings.warehouse)
    with contextlib.closing(landing.connect(temp=settings.scratch, database=settings.warehouse)) as connection:
        state = validation.State(night, versions, [], {}, [])
        landed = validation.validate(connection, record, contracts.load(), read_expectations(), state)
        finals.tell(connection, record, [])
    validated = time.perf_counter()
    outcome = dbt.run(["build", "--exclude-resource-type", "unit_test", "--select", *SELECT])
    seconds = time.perf_counter() - started
    if outcome.status != 0:
        raise SystemExit("\n".join(outcome.errors[-20:]))
    slowest = sorted(outcome.results.values(), key=lambda result: -result.seconds)[:8]
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        billed = connection.execute(
            "select (select count(*) from invoices), (select sum(quantity) from tenant_usage_daily),"
            " (select sum(events) from tenant_usage_daily), (select count(*) from int_usage_cancellations)".replace(
                "from int_", "from intermediate.int_"
            )
        ).fetchone()
    assert billed is not None
    usage = next(table for table in landed if table.table == "usage_events")
    of_validation, of_dbt = memory.peaks()
    return {
        "seconds": seconds,
        "validated": validated - started,
        "laws": sum(1 for key in outcome.results if ".assert_" in key),
        "slowest": {result.unique_id.split(".")[2]: round(result.seconds, 2) for result in slowest},
        "peak_bytes": max(of_validation, of_dbt),
        "peak_bytes_of_validation": of_validation,
        "peak_bytes_of_dbt": of_dbt,
        "invoices": billed[0],
        "quantity": str(billed[1]),
        "events": int(billed[2]),
        "cancelled": billed[3],
        "duplicates": sum(file.rows_duplicate for file in usage.files),
    }


if __name__ == "__main__":
    os.environ.setdefault("LOOMPIN_KEY", "benchmark")
    print(json.dumps(main(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]))))
