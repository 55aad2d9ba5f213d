"""What starts runs by itself: the nightly job and its schedule, the sensor for new files, the sensor for failures.

What a run does is in the assets.
"""

import hashlib
import logging
from collections.abc import Iterator

import dagster as dg

from dagster_project import home
from dagster_project.night_run import RESOURCE, NightRun
from dagster_project.source_assets import source_key
from loompin import contracts, night, sources
from loompin.settings import Settings

NIGHTLY = "nightly"
SECONDS_BETWEEN_LOOKS = 60

nightly_job = dg.define_asset_job(
    NIGHTLY,
    selection=dg.AssetSelection.all(),
    description="One night: land, validate, derive, publish. The partition is the UTC date that has ended.",
    executor_def=dg.in_process_executor,
    owners=["team:publishing"],
)

nightly_schedule = dg.build_schedule_from_partitioned_job(
    nightly_job,
    name="nightly_at_0030_utc",
    description="At 00:30 UTC, the night of the day that ended.",
    hour_of_day=0,
    minute_of_hour=30,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.op(
    description="Land and validate what is new in the source folder, for the next night; derive and publish nothing.",
    required_resource_keys={RESOURCE},
    pool="warehouse",
)
def land_new_files(context: dg.OpExecutionContext) -> Iterator[dg.AssetObservation | dg.Output[None]]:
    """Land early, and show on each source table what the next night would find."""
    run: NightRun = context.resources.night_run
    try:
        landed = night.land_early(run.settings, lambda what: run.watch.progress("land", what, 0, 0))
    except night.UsageError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    for table in landed.tables:
        failing = [check for check in table.checks if check.status != "pass"]
        for problem in [*table.errors, *table.warnings]:
            context.log.warning(f"{table.table}: {problem}")
        if failing or table.errors:
            yield dg.AssetObservation(
                asset_key=source_key(table.table),
                description="The next night would find this.",
                metadata={
                    "rows_accepted": sum(file.rows_accepted for file in table.files),
                    "rows_quarantined": sum(file.rows_quarantined for file in table.files),
                    "checks": dg.MetadataValue.json(
                        {check.rule_id: f"{check.status}: {check.message}" for check in failing}
                    ),
                },
            )
    for reason in landed.blocking:
        context.log.error(f"The next night would end without being published: {reason}")
    yield dg.Output(None)


@dg.job(
    name="land_early",
    description="Land and validate new files for the next night.",
    executor_def=dg.in_process_executor,
    owners=["team:publishing"],
)
def land_early_job() -> None:
    """Land early."""
    land_new_files()


def new_files_sensor(settings: Settings) -> dg.SensorDefinition:
    """Start `land_early` when the source folder's files changed."""

    @dg.sensor(
        name="new_files",
        description="Lands and validates files as they come, so that their problems are seen before the night.",
        job=land_early_job,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def new_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        # A night from the command line that was killed would hold the queue; this is what looks every minute.
        for run_id in home.close_dead_runs(context.instance):
            context.log.warning(f"run {run_id} ended with its process")
        try:
            files = sources.discover(settings.source, contracts.load()).files
        except sources.NoSource as error:
            return dg.SkipReason(str(error))
        told = hashlib.sha256(repr([(file.name, file.size, file.mtime_ns) for file in files]).encode())
        seen = told.hexdigest()
        if seen == context.cursor:
            return dg.SkipReason(f"none of the {len(files)} files changed")
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=seen)], cursor=seen)

    return new_files


def failure_sensor(settings: Settings) -> dg.SensorDefinition:
    """Tell the addresses of `LOOMPIN_ALERT_URLS` (apprise) when a run fails; silent without them."""

    @dg.run_failure_sensor(
        name="alert_on_failure",
        description="Sends one message for each failed run to the addresses of LOOMPIN_ALERT_URLS.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
        alert(settings, *message(context))

    return alert_on_failure


def message(context: dg.RunFailureSensorContext) -> tuple[str, str]:
    """The title and text of an alert."""
    run = context.dagster_run
    partition = run.tags.get("dagster/partition")
    title = f"Loompin: {run.job_name} failed" + (f" for the night {partition}" if partition else "")
    causes = [
        f"{event.step_key}: {root_message(event.step_failure_data.error)}"
        for event in context.get_step_failure_events()
        if event.step_failure_data.error is not None
    ]
    text = "\n".join(causes) or context.failure_event.message or "no cause was recorded"
    return title, f"{text}\n\nRun {run.run_id}. The published file is as it was before."


def alert(settings: Settings, title: str, text: str) -> bool:
    """Send an alert. Returns whether it was sent; the addresses, which hold secrets, are never logged."""
    if settings.alert_urls is None or not settings.alert_urls.get_secret_value().strip():
        return False
    import apprise

    # Apprise writes addresses into its own log.
    logging.getLogger("apprise").disabled = True
    sender = apprise.Apprise()
    for url in settings.alert_urls.get_secret_value().replace("\n", ",").split(","):
        if url.strip():
            sender.add(url.strip())
    return bool(sender.notify(body=text, title=title))


def root_message(error: object) -> str:
    """The innermost cause's message: what the user can do something about."""
    while getattr(error, "cause", None) is not None:
        error = error.cause  # type: ignore[attr-defined]
    return str(getattr(error, "message", error)).strip()
