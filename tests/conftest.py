"""What every test shares: the hypothesis profile, telemetry off, and a home that is not the user's.

Fixtures of one subject belong in its own test module.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from loompin import telemetry

REPO = Path(__file__).resolve().parent.parent

# The same examples every time and no time limit an example: a run depends on the code alone, not on the machine.
settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Nothing a test does may reach data/, the user's own record, or depend on the user's settings.
os.environ["LOOMPIN_HOME"] = str(Path(tempfile.mkdtemp(prefix="loompin-test-home-")))
os.environ["LOOMPIN_SOURCE"] = str(REPO / "seeds")
os.environ["LOOMPIN_KEY"] = "a key for tests only"
for _name in ("DAGSTER_HOME", "LOOMPIN_ALERT_URLS"):
    os.environ.pop(_name, None)
telemetry.disable()


@pytest.fixture(scope="session")
def night_home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A home in which `loompin nightly --date 2026-02-10` ran on seeds/; made once, by whichever worker comes first.

    Only to be read. A test that goes on from it takes a copy (`copy_home`).
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "night-home"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "output.txt"
        if not done.exists():
            ended = loompin_process(folder / "home", "nightly", "--date", "2026-02-10")
            assert ended.returncode == 0, ended.stdout + ended.stderr
            done.write_text(ended.stdout)
    return folder / "home"


def loompin_process(
    home: Path, *arguments: str, source: Path = REPO / "seeds", timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line as a user does: in a process of its own, with a home and a source folder."""
    with started(home, *arguments, source=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            told, problems = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, told, problems)


def started(home: Path, *arguments: str, source: Path = REPO / "seeds", **streams: Any) -> subprocess.Popen[str]:
    """The same, not waited for; `streams` are `subprocess.Popen`'s."""
    environment = {**os.environ, "LOOMPIN_HOME": str(home), "LOOMPIN_SOURCE": str(source), "COLUMNS": "200"}
    command = [sys.executable, "-m", "loompin.cli", *arguments]
    return subprocess.Popen(command, cwd=REPO, env=environment, text=True, **streams)


def copy_home(home: Path, target: Path) -> Path:
    """A copy of a home to go on with; Dagster's history, which no night depends on, stays behind."""
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("dagster", ".lock"), symlinks=True)
    return target
