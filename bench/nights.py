"""A night without the orchestrator and its pages: land, derive everything, publish. A process of its own.

Started by `bench.billing` as `python -m bench.nights HOME SOURCE NIGHT`; prints one JSON line: seconds in all and of
each step, and the models and tests that took longest.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import date
from pathlib import Path

from dagster_project.dbt_process import DbtProcess
from loompin import night as nights
from loompin import telemetry
from loompin.settings import Settings


def main(settings: Settings, night: date) -> dict[str, object]:
    """Run the night; it is complete afterwards."""
    telemetry.disable()
    settings.prepare()
    started = time.perf_counter()
    plan = nights.plan(settings, night)
    dbt = DbtProcess(settings, plan.warehouse)
    landed = nights.land(settings, plan)
    if landed.blocking:
        raise SystemExit("; ".join(landed.blocking))
    after_landing = time.perf_counter()
    outcome = dbt.run(["build", "--exclude-resource-type", "unit_test"])
    if outcome.status != 0:
        raise SystemExit("\n".join(outcome.errors[-20:]))
    after_models = time.perf_counter()
    published = nights.publish(settings, plan, f"bench-{night}")
    ended = time.perf_counter()
    slowest = sorted(outcome.results.values(), key=lambda result: -result.seconds)[:12]
    return {
        "seconds": ended - started,
        "land": round(after_landing - started, 2),
        "derive": round(after_models - after_landing, 2),
        "publish": round(ended - after_models, 2),
        "rows": published.rows,
        "slowest": {result.unique_id.split(".")[2]: round(result.seconds, 2) for result in slowest},
        "slowest_tables": {
            table.table: round(table.seconds, 2)
            for table in sorted(landed.tables, key=lambda table: -table.seconds)[:4]
        },
    }


if __name__ == "__main__":
    os.environ.setdefault("LOOMPIN_KEY", "benchmark")
    home, source, of = sys.argv[1:]
    print(json.dumps(main(Settings(home=Path(home), source=Path(source)), date.fromisoformat(of))))
