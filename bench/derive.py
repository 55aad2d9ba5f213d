"""Some models from landed Parquet, in steps. A process of its own.

Started by `bench.voice` as `python -m bench.derive HOME NIGHT STEP...`, each step the arguments of a dbt command in one
string; prints one JSON line: seconds of the validation and of each step, those of each model, and the peak of
memory. The warehouse is left for who wants to compare what it holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from bench import memory
from dagster_project.dbt_process import DbtProcess
from loompin import contracts, landing, telemetry, validation
from loompin.record import Record
from loompin.rules import read_expectations
from loompin.settings import Settings


def main(home: Path, night: date, steps: Sequence[str]) -> dict[str, object]:
    """Validate the landed files of a home, then run each step."""
    telemetry.disable()
    settings = Settings(home=home, source=home / "source")
    settings.prepare()
    record = Record(settings.raw)
    versions = [version for done in record.nights() for version in done.accepted]
    started = time.perf_counter()
    with contextlib.closing(landing.connect(temp=settings.scratch, database=settings.warehouse)) as connection:
        state = validation.State(night, versions, [], {}, [])
        validation.validate(connection, record, contracts.load(), read_expectations(), state)
    validated = time.perf_counter() - started
    seconds: list[float] = []
    models: list[dict[str, float]] = []
    for step in steps:
        started = time.perf_counter()
        outcome = DbtProcess(settings, settings.warehouse).run(step.split())
        seconds.append(time.perf_counter() - started)
        if outcome.status != 0:
            raise SystemExit("\n".join(outcome.errors[-20:]))
        ordered = sorted(outcome.results.values(), key=lambda result: -result.seconds)
        models.append({result.unique_id.split(".")[2]: round(result.seconds, 2) for result in ordered})
    return {"validated": validated, "seconds": seconds, "models": models, "peak_bytes": max(memory.peaks())}


if __name__ == "__main__":
    os.environ.setdefault("LOOMPIN_KEY", "benchmark")
    print(json.dumps(main(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]), sys.argv[3:])))
