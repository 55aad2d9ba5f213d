"""One night from the command line: the nightly job, executed in this process, visible in the UI like any other run.

What the command line shows is its own affair; it gets progress and findings in a `Watch`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from dagster_project import automation, home
from dagster_project.build import build
from dagster_project.night_run import Watch
from loompin import contracts, sources
from loompin import night as nights
from loompin.lock import home_lock
from loompin.settings import PROJECT_ROOT, Settings

LOCATION = "loompin"
"""The code location's name in `workspace.yaml`: the UI shows a run with its job by it."""
REPOSITORY = "__repository__"


@dataclass(frozen=True)
class Summary:
    """How a night from the command line ended. `problems` says what went wrong, in words for the user."""

    success: bool
    run_id: str
    watch: Watch
    problems: list[str]


def run_nightly(
    settings: Settings,
    night: date,
    watch: Watch | None = None,
    on_event: Callable[[dg.DagsterEvent], None] | None = None,
) -> Summary:
    """Run the nightly job for a night, in this process, on the home's Dagster instance.

    Args:
        watch: told of progress while the run goes.
        on_event: called with each of Dagster's events.

    Raises:
        loompin.lock.LockHeld: another run is writing to this home.
        loompin.night.UsageError: the night has not ended.
        loompin.sources.NoSource: the source folder is missing or holds no known table.
    """
    watch = watch or Watch()
    with home_lock(settings, f"loompin nightly --date {night}"), home.instance(settings) as instance:
        # Wrong usage is told before there is a run that fails for it.
        watch.plan = nights.plan(settings, night)
        if watch.plan.mode == "new":
            sources.discover(settings.source, contracts.load())
        home.close_dead_runs(instance)
        job = build(settings, watch).resolve_job_def(automation.NIGHTLY)
        run = instance.create_run_for_job(
            job_def=job,
            # Dagster's own lines on the terminal would stand between those of the command line.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={
                "dagster/partition": night.isoformat(),
                ".dagster/repository": f"{REPOSITORY}@{LOCATION}",
                # The command line reports a failure itself; its caller decides about another try.
                "dagster/max_retries": "0",
                home.PROCESS_TAG: home.this_process(),
            },
            remote_job_origin=_origin(),
        )
        problems: list[str] = []
        for event in execute_run_iterator(InMemoryJob(job), run, instance):
            if event.is_step_failure and event.step_failure_data.error is not None:
                problems.append(automation.root_message(event.step_failure_data.error))
            elif event.is_run_failure and not problems:
                error = event.job_failure_data.error
                problems.append(automation.root_message(error) if error else event.message or "the run failed")
            if on_event is not None:
                on_event(event)
        finished = instance.get_run_by_id(run.run_id)
    return Summary(finished is not None and finished.is_success, run.run_id, watch, problems)


@functools.lru_cache(maxsize=1)
def _origin() -> RemoteJobOrigin:
    """Where the UI's daemon finds the same job: the code location of `workspace.yaml`."""
    target = LoadableTargetOrigin(
        executable_path=sys.executable, module_name="dagster_project.definitions", working_directory=str(PROJECT_ROOT)
    )
    location = ManagedGrpcPythonEnvCodeLocationOrigin(loadable_target_origin=target, location_name=LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, REPOSITORY), automation.NIGHTLY)
