"""DAGSTER_HOME of a warehouse: made at first use from the project's `dagster.yaml`, opened, tidied of runs that died.

`python -m dagster_project.home` prepares the home that the environment names and prints its DAGSTER_HOME (`make ui`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from loompin.settings import PROJECT_ROOT, Settings

PROCESS_TAG = "loompin/process"
"""On a run of the command line: the process that executes it."""

_UNDER_WAY = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def prepare(settings: Settings) -> Path:
    """Make DAGSTER_HOME if it is not there and name it in this process's environment.

    Its `dagster.yaml` follows the project's until somebody edits it; then it is theirs.
    """
    settings.prepare()
    config = settings.dagster_home / "dagster.yaml"
    wanted = _copied((PROJECT_ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    found = config.read_text(encoding="utf-8") if config.exists() else ""
    if found != wanted and (not found or found == _copied(found.partition("\n")[2])):
        working = config.with_name(f".dagster.yaml.{os.getpid()}")
        working.write_text(wanted, encoding="utf-8")
        working.replace(config)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    return settings.dagster_home


def _copied(template: str) -> str:
    """A template with a first line that tells whether it was edited since."""
    digest = hashlib.sha256(template.encode()).hexdigest()[:12]
    return f"# Copied from the project's dagster.yaml ({digest}) and kept up with it until it is edited.\n{template}"


@contextlib.contextmanager
def instance(settings: Settings, *, capture_output: bool = False) -> Iterator[dg.DagsterInstance]:
    """The home's Dagster instance.

    Args:
        capture_output: whether a run in this process keeps what it prints for the UI. It does so by redirecting the
            process's standard output, so the command line, which shows progress there, does not.
    """
    overrides = {} if capture_output else {"compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager",
                                                            "class": "NoOpComputeLogManager"}}  # fmt: skip
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(prepare(settings)), overrides=overrides)) as opened:
        yield opened


def close_dead_runs(opened: dg.DagsterInstance) -> list[str]:
    """Fail the command line's runs whose process is gone: nothing else watches them, and they would hold the queue.

    Returns:
        The ids of the runs.
    """
    dead = []
    for run in opened.get_runs(dg.RunsFilter(statuses=_UNDER_WAY)):
        process = run.tags.get(PROCESS_TAG)
        if process is not None and not _is_alive(process):
            opened.report_run_failed(run, f"The process that ran this night ({process}) ended without finishing it.")
            dead.append(run.run_id)
    _free_slots(opened)
    return dead


def _free_slots(opened: dg.DagsterInstance) -> None:
    """Give back the pool slots of runs that ended without doing so: a step would wait for them for ever."""
    log = opened.event_log_storage
    for key in log.get_concurrency_keys():
        told = log.get_concurrency_info(key)
        for run_id in told.active_run_ids | told.assigned_run_ids | told.pending_run_ids:
            run = opened.get_run_by_id(run_id)
            if run is None or run.is_finished:
                log.free_concurrency_slots_for_run(run_id)


def this_process() -> str:
    """This process, told apart from a later one that gets the same number."""
    return f"{os.getpid()}@{_started(os.getpid())}"


def _is_alive(process: str) -> bool:
    number, _, started = process.partition("@")
    return number.isdigit() and _started(int(number)) == started


def _started(process: int) -> str:
    """When a process was started (clock ticks since boot), or nothing if it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return "" if not Path("/proc/self").exists() and _exists(process) else "gone"
    return "gone" if fields[0] == "Z" else fields[19]


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    with instance(Settings()) as home:
        close_dead_runs(home)
    print(os.environ["DAGSTER_HOME"])
