"""The whole night on `seeds/` beside `dbt build` alone of the same models and tests; the same night; the next one.

Each figure is a whole process on a fresh home, as a user starts it; the median of three rounds, the two sides in turn.
dbt parses the project from scratch on both sides. The reference builds what the night builds (unit tests belong to
`make test`), on the warehouse that the night landed.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from loompin.settings import DBT_PROJECT, PROJECT_ROOT

BIN = Path(sys.executable).parent
ROUNDS = 3


def run(report: Callable[..., None]) -> None:
    """Measure and report four ratios."""
    nights, builds, repeats, followers = [], [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="loompin-bench-") as folder:
            home = Path(folder) / "home"
            nights.append(_nightly(home, "2026-02-10"))
            builds.append(_dbt_build(home, Path(folder) / "alone"))
            repeats.append(_nightly(home, "2026-02-10"))
            followers.append(_nightly(home, "2026-02-11"))
    night, build = statistics.median(nights), statistics.median(builds)
    ratios = ", ".join(f"{a / b:.2f}" for a, b in zip(nights, builds, strict=True))
    report(
        "whole night on seeds/", night, "dbt build alone, same models and tests", build, 2.0, f"each round: {ratios}"
    )
    report("same night again", statistics.median(repeats), "its first run", night, 0.25)
    report("next night, nothing new", statistics.median(followers), "the first night", night, 0.9)


def _nightly(home: Path, night: str) -> float:
    return _seconds([str(BIN / "loompin"), "nightly", "--date", night], {"LOOMPIN_HOME": str(home)})


def _dbt_build(home: Path, alone: Path) -> float:
    alone.mkdir()
    shutil.copy(home / "warehouse.duckdb", alone / "warehouse.duckdb")
    environment = {
        "LOOMPIN_HOME": str(home),
        "LOOMPIN_WAREHOUSE": str(alone / "warehouse.duckdb"),
        "DBT_PROJECT_DIR": str(DBT_PROJECT),
        "DBT_PROFILES_DIR": str(DBT_PROJECT),
        "DBT_TARGET_PATH": str(alone / "target"),
        "DBT_LOG_PATH": str(alone / "logs"),
    }
    return _seconds([str(BIN / "dbt"), "build", "--exclude-resource-type", "unit_test"], environment)


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[-3:])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started
