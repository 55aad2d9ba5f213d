"""What the data engineer meets in Dagster: definitions, lineage, checks, limits, automation, and nights run through it.

The browser's side is in tests/ui. Laws of the tables themselves are tested where the tables are.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import EngineEventData
from dagster._core.execution.api import execute_run_iterator
from dagster._core.storage.event_log import SqliteEventLogStorage
from pydantic import SecretStr

from dagster_project import automation, home, manifest, models, night_run
from dagster_project.build import build
from dagster_project.event_log import KeptConnectionsEventLogStorage
from dagster_project.partitions import NIGHTS
from dagster_project.publishing_assets import PUBLISHED
from dagster_project.source_assets import source_key
from loompin import contracts, lock
from loompin.settings import Settings
from tests.conftest import REPO, copy_home
from tests.published_file import differences, published, rows

NIGHT = date(2026, 2, 10)
REFERENCE = Path(__file__).parent / "reference"
DOMAINS = {path.stem for path in contracts.DOMAINS.glob("*.yml")}


@pytest.fixture(scope="module")
def settings(night_home: Path) -> Settings:
    """The home in which a night ran; only read."""
    return Settings(home=night_home, source=REPO / "seeds")


@pytest.fixture(scope="module")
def definitions(settings: Settings) -> dg.Definitions:
    return build(settings)


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[dg.AssetKey, dg.AssetSpec]:
    return {spec.key: spec for spec in definitions.resolve_all_asset_specs()}


@pytest.fixture(scope="module")
def later(night_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of that home, to go on with."""
    folder = tmp_path_factory.mktemp("later")
    shutil.copytree(REPO / "seeds", folder / "source", ignore=shutil.ignore_patterns("*.py"))
    return Settings(home=copy_home(night_home, folder / "home"), source=folder / "source")


def run_in(
    settings: Settings,
    *,
    selection: list[dg.AssetKey] | None = None,
    nights: tuple[date, date] = (NIGHT, NIGHT),
    job: str = "__ASSET_JOB",
    watch: night_run.Watch | None = None,
    **overrides: object,
) -> tuple[dg.DagsterRun, list[dg.EventLogEntry]]:
    """A run as the UI starts it: on the home's instance, for a night or a range of nights; with its events."""
    first, last = (night.isoformat() for night in nights)
    tags = {"dagster/partition": last}
    if first != last:
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    with home.instance(settings) as instance:
        job_def = build(settings, watch, **overrides).resolve_job_def(job)
        if selection is not None:
            job_def = job_def.get_subset(asset_selection=set(selection))
        run = instance.create_run_for_job(
            job_def=job_def, tags=tags if job_def.partitions_def else {},
            asset_selection=frozenset(selection) if selection else None,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )  # fmt: skip
        list(execute_run_iterator(InMemoryJob(job_def), run, instance))
        finished = instance.get_run_by_id(run.run_id)
        assert finished is not None
        return finished, instance.all_logs(run.run_id)


def materialized(events: list[dg.EventLogEntry]) -> dict[str, dict[str, object]]:
    """The metadata of each materialized asset, by its key."""
    found = {}
    for entry in events:
        event = entry.dagster_event
        if event and event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            data = event.step_materialization_data.materialization
            found[data.asset_key.to_user_string()] = {key: value.value for key, value in data.metadata.items()}
    return found


def evaluated(events: list[dg.EventLogEntry]) -> dict[str, object]:
    """Each check's evaluation, by asset and name."""
    return {
        f"{data.asset_key.to_user_string()}:{data.check_name}": data
        for entry in events
        if entry.dagster_event and entry.dagster_event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        for data in [entry.dagster_event.asset_check_evaluation_data]
    }


# -- the instance ----------------------------------------------------------------------------------------------------


def test_a_homes_dagster_yaml_follows_the_projects_until_it_is_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, settings = tmp_path / "dagster.yaml", Settings(home=tmp_path / "home")
    monkeypatch.setattr(home, "PROJECT_ROOT", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "")
    config = settings.dagster_home / "dagster.yaml"
    for text in ("telemetry:\n  enabled: false\n", "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"):
        template.write_text(text, encoding="utf-8")
        home.prepare(settings)
        assert config.read_text(encoding="utf-8").partition("\n")[2] == text
    edited = config.read_text(encoding="utf-8") + "retention: {}\n"
    config.write_text(edited, encoding="utf-8")
    template.write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    home.prepare(settings)
    assert config.read_text(encoding="utf-8") == edited


# -- definitions ------------------------------------------------------------------------------------------------------


def test_definitions_validate_in_a_fresh_home(tmp_path: Path) -> None:
    environment = {**os.environ, "LOOMPIN_HOME": str(tmp_path / "home")}
    command = [str(Path(sys.executable).with_name("dagster")), "definitions", "validate", "-w", "workspace.yaml"]
    ended = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Validation successful for code location loompin" in ended.stdout + ended.stderr


def test_every_asset_is_described(specs: dict[dg.AssetKey, dg.AssetSpec], settings: Settings) -> None:
    derived = models.read(manifest.load(settings))
    undeclared = {
        spec.key
        for unique_id, spec in derived.specs.items()
        if not (node := derived.manifest["nodes"][unique_id])["columns"] and not models.is_mart(node)
    }  # fmt: skip
    wrong = []
    for key, spec in specs.items():
        references = spec.metadata.get("dagster/code_references")
        schema = spec.metadata.get("dagster/column_schema")
        problems = {
            "group": spec.group_name in (None, "default"),
            "owner": not spec.owners,
            "kind": not spec.kinds,
            "description": not (spec.description or "").strip(),
            "code reference": references is None
            or not all(Path(place.file_path).is_file() for place in references.code_references),
            # Models that users do not query need no list of columns; their schema comes with the materialization.
            "columns": key.path[0] != "docs" and key not in undeclared and not (schema and schema.columns),
        }
        wrong += [f"{key.to_user_string()}: no {what}" for what, missing in problems.items() if missing]
    assert wrong == []


def test_groups_are_the_domains_and_what_serves_them(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    groups: dict[str, set[str]] = {}
    for key, spec in specs.items():
        groups.setdefault(key.path[0], set()).add(str(spec.group_name))
    assert groups["source"] == DOMAINS
    assert groups["marts"] == DOMAINS
    assert groups["published"] == groups["docs"] == {"publishing"}


def test_every_column_of_a_source_names_its_type_and_meaning(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for table in contracts.load().tables.values():
        shown = specs[source_key(table.name)].metadata["dagster/column_schema"].columns
        assert [(column.name, column.type) for column in shown] == [(c.name, c.data_type) for c in table.columns]
        assert all(column.description for column in shown), table.name


def test_code_reference_of_a_source_is_its_line_in_the_contract(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for table in contracts.load().tables.values():
        (place,) = specs[source_key(table.name)].metadata["dagster/code_references"].code_references
        line = Path(place.file_path).read_text(encoding="utf-8").splitlines()[place.line_number - 1]
        assert re.search(rf"name: {table.name}$", line), f"{place.file_path}:{place.line_number}: {line}"


def test_lineage_is_complete_from_every_source_to_the_published_file(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    readers: dict[dg.AssetKey, set[dg.AssetKey]] = {}
    for key, spec in specs.items():
        for dep in spec.deps:
            assert dep.asset_key in specs, (
                f"{key.to_user_string()} depends on {dep.asset_key.to_user_string()}, no asset"
            )
            readers.setdefault(dep.asset_key, set()).add(key)
    leads_there = {PUBLISHED}
    while more := {key for key in specs if key not in leads_there and readers.get(key, set()) & leads_there}:
        leads_there |= more
    ends = [key.to_user_string() for key in specs if key not in leads_there and key.path[0] != "docs"]
    assert ends == [], "no other asset reads these, and they are not published"


def test_every_catalog_table_is_a_published_asset(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    declared = contracts.load().tables
    expected = {dg.AssetKey(["marts", name]) for name, table in declared.items() if table.published}
    assert expected <= {dep.asset_key for dep in specs[PUBLISHED].deps}


def test_asset_keys_are_as_recorded(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    """A key that changes loses its history in the UI: change the file on purpose, never by accident."""
    recorded = (REFERENCE / "asset_keys.txt").read_text(encoding="utf-8").splitlines()
    now = sorted(key.to_user_string() for key in specs)
    gone, new = sorted(set(recorded) - set(now)), sorted(set(now) - set(recorded))
    assert (gone, new) == ([], []), "if this is meant, bring tests/reference/asset_keys.txt up to date"


def test_every_dbt_test_is_a_check(settings: Settings, definitions: dg.Definitions) -> None:
    derived = models.read(manifest.load(settings))
    tests = {key for key, node in derived.manifest["nodes"].items() if node["resource_type"] == "test"}
    assert tests
    assert set(derived.checks) == tests
    names = [check.key for check in derived.checks.values()]
    assert len(names) == len(set(names))
    assert set(names) <= set(definitions.resolve_asset_graph().asset_check_keys)


def test_a_test_of_several_models_is_shown_with_the_last_in_lineage() -> None:
    def node(name: str, *parents: str, kind: str = "model") -> dict[str, object]:
        folder = "tests" if kind == "test" else "models/marts/core_platform"
        return {
            "unique_id": f"{kind}.p.{name}", "name": name, "alias": name, "resource_type": kind, "schema": "main",
            "original_file_path": f"{folder}/{name}.sql", "raw_code": "-- One row per thing.\nselect 1", "columns": {},
            "config": {"materialized": "table"}, "depends_on": {"nodes": [f"model.p.{parent}" for parent in parents]},
            "package_name": "p", "fqn": ["p", name], "meta": {}, "tags": [], "description": "",
            "checksum": {"checksum": name},
        }  # fmt: skip

    nodes = [node("lines"), node("invoices", "lines"), node("law", "lines", "invoices", kind="test")]
    read = models.read({
        "metadata": {"project_name": "p", "adapter_type": "duckdb"}, "sources": {}, "groups": {}, "parent_map": {},
        "nodes": {str(one["unique_id"]): one for one in nodes},
    })  # fmt: skip
    assert [check.asset_key.path for check in read.checks.values()] == [["marts", "invoices"]]
    assert read.specs["model.p.lines"].description == "One row per thing."


# -- limits -----------------------------------------------------------------------------------------------------------


def test_pool_lets_one_step_write_at_a_time(tmp_path: Path, definitions: dg.Definitions) -> None:
    fresh = Settings(home=tmp_path / "home", source=REPO / "seeds")
    pools = {asset.op.pool for asset in definitions.resolve_asset_graph().assets_defs if asset.is_executable}
    assert pools == {"warehouse"}
    with home.instance(fresh) as instance:
        assert [claim(instance, run) for run in ("first", "second")] == [True, False]


def test_a_pool_without_a_default_limit_protects_nothing(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        assert [claim(instance, run) for run in ("first", "second")] == [True, True]


def claim(instance: dg.DagsterInstance, run: str) -> bool:
    """Whether a step of a run gets a slot of the pool, asked the way an executor asks."""
    from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext

    stored = instance.create_run_for_job(dg.JobDefinition(graph_def=dg.GraphDefinition(run), name=run))
    context = InstanceConcurrencyContext(instance, stored)
    context.__enter__()
    return context.claim("warehouse", "step")


def test_queue_starts_one_run_at_a_time(tmp_path: Path) -> None:
    with home.instance(Settings(home=tmp_path / "home", source=REPO / "seeds")) as instance:
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert limits.max_concurrent_runs == 1
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 2
        assert instance.run_retries_retry_on_asset_or_op_failure is False
        assert not instance.telemetry_enabled


def test_a_run_waits_for_another_writer_and_says_for_whom(later: Settings) -> None:
    with writer_beside(later) as stop, home.instance(later) as beside:

        def stop_once_it_waits() -> None:
            for _ in range(600):
                (record,) = beside.get_run_records(limit=1) or [None]
                if record and any("waiting" in entry.message for entry in beside.all_logs(record.dagster_run.run_id)):
                    break
                time.sleep(0.2)
            stop()

        threading.Thread(target=stop_once_it_waits).start()
        run, events = run_in(later, job="land_early")
    assert run.is_success
    assert any("waiting for another run" in entry.message and "a night beside" in entry.message for entry in events)


def test_a_second_night_at_once_ends_at_once(later: Settings) -> None:
    from dagster_project.run import run_nightly

    with writer_beside(later), pytest.raises(lock.LockHeld, match="a night beside"):
        run_nightly(later, date(2026, 2, 11))


@contextlib.contextmanager
def writer_beside(settings: Settings) -> Iterator[Callable[[], None]]:
    """Another process that holds the home's lock, until it is told to stop."""
    script = (
        "import sys; from loompin.lock import home_lock; from loompin.settings import Settings\n"
        "with home_lock(Settings(), 'a night beside'):\n"
        "    print('held', flush=True); sys.stdin.readline()"
    )
    environment = {**os.environ, "LOOMPIN_HOME": str(settings.home)}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPO,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other.stdin.close
        other.stdin.close()


# -- the event log ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 3])
def test_event_log_holds_what_dagsters_own_would(tmp_path: Path, partitions: int) -> None:
    """The same run, stored by Dagster's own storage and by ours: the same rows in the same tables."""

    @dg.multi_asset(
        specs=[dg.AssetSpec("a", skippable=True), dg.AssetSpec("b", skippable=True, deps=["a"])],
        check_specs=[dg.AssetCheckSpec("good", asset="a"), dg.AssetCheckSpec("bad", asset="b")],
        can_subset=True, partitions_def=NIGHTS, backfill_policy=dg.BackfillPolicy.single_run(),
    )  # fmt: skip
    def two(context):  # type: ignore[no-untyped-def]
        context.log.info("said")
        yield dg.MaterializeResult("a", metadata={"dagster/row_count": 1}, tags={"of": "a"})
        yield dg.AssetObservation("a")
        yield dg.AssetCheckResult(asset_key="a", check_name="good", passed=True)
        yield dg.MaterializeResult("b")
        yield dg.AssetCheckResult(asset_key="b", check_name="bad", passed=False)

    job = dg.Definitions(assets=[two], executor=dg.in_process_executor).resolve_job_def("__ASSET_JOB")
    tags = (
        {"dagster/partition": "2026-02-10"}
        if partitions == 1
        else {"dagster/asset_partition_range_start": "2026-02-08", "dagster/asset_partition_range_end": "2026-02-10"}
    )
    stored = []
    for ours in (False, True):
        folder = tmp_path / str(ours)
        folder.mkdir()
        with dg.instance_for_test(temp_dir=str(folder)) as instance:
            if ours:
                instance._event_storage = KeptConnectionsEventLogStorage(str(folder / "history" / "runs"))
                instance._event_storage.register_instance(instance)
            assert job.execute_in_process(instance=instance, tags=tags).success
        logs = folder / "history" / "runs"
        stored.append({"index" if path.stem == "index" else "run": told(path) for path in logs.glob("*.db")})
        if ours:
            # What was stored is read by Dagster's own storage as well.
            (run_id,) = SqliteEventLogStorage(str(logs)).get_all_run_ids()
            assert SqliteEventLogStorage(str(logs)).get_logs_for_run(run_id)
    assert stored[0] == stored[1]
    assert len(stored[1]["run"]["event_logs"]) > 10


def told(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """The rows of a log, without what differs from run to run."""
    columns = {
        "event_logs": "dagster_event_type, step_key, asset_key, partition",
        "asset_keys": "asset_key, last_materialization is not null, last_run_id is not null, wipe_timestamp",
        "asset_check_executions": "asset_key, check_name, partition, execution_status,"
        " materialization_event_storage_id is not null",
        "asset_event_tags": "asset_key, key",
    }
    with sqlite3.connect(database) as connection:
        return {
            # The order of events is part of what is stored; that of the other tables is not.
            table: rows if table == "event_logs" else sorted(rows, key=str)
            for table, wanted in columns.items()
            for rows in [connection.execute(f"select {wanted} from {table} order by id").fetchall()]
        }


def test_event_log_serves_several_threads(tmp_path: Path) -> None:
    storage = KeptConnectionsEventLogStorage(str(tmp_path))
    failures: list[BaseException] = []

    def write(run: int) -> None:
        try:
            for _ in range(10):
                event = dg.DagsterEvent("ENGINE_EVENT", "j", message="m", event_specific_data=EngineEventData())
                storage.store_event(
                    dg.EventLogEntry(None, logging.INFO, "", f"run{run}", time.time(), None, "j", event)
                )
                storage.get_logs_for_run(f"run{run}")
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=write, args=(run,)) for run in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {run: len(storage.get_logs_for_run(f"run{run}")) for run in range(12)} == dict.fromkeys(range(12), 10)
    storage.dispose()


# -- automation -------------------------------------------------------------------------------------------------------


def test_schedule_runs_the_night_of_the_day_that_ended(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("nightly_at_0030_utc")
    assert schedule.cron_schedule == "30 0 * * *"
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 2, 11, 0, 30, tzinfo=UTC),
        repository_def=definitions.get_repository_def(),
    )
    (request,) = schedule.evaluate_tick(context).run_requests
    assert request.partition_key == "2026-02-10"


def test_sensor_asks_for_new_and_changed_files_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    settings = Settings(home=tmp_path / "home", source=source)
    sensor = automation.new_files_sensor(settings)
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING

    def tick(cursor: str | None) -> tuple[int, str | None]:
        with dg.instance_for_test() as instance:
            data = sensor.evaluate_tick(dg.build_sensor_context(instance, cursor=cursor))
        return len(data.run_requests or []), data.cursor

    assert tick(None) == (0, None), "an empty folder is nothing to land"
    (source / "tenants.csv").write_text("id,name,plan,status,region\n")
    asked, cursor = tick(None)
    assert asked == 1
    assert tick(cursor) == (0, cursor)
    (source / "tenants.csv").write_text("id,name,plan,status,region\nt1,One,Pro,active,eu\n")
    asked, changed = tick(cursor)
    assert (asked, changed == cursor) == (1, False)


def test_landing_early_derives_and_publishes_nothing(later: Settings) -> None:
    before = (later.warehouse.stat().st_mtime_ns, later.published.stat().st_mtime_ns)
    (later.source / "customer_intelligence" / "customers").mkdir(exist_ok=True)
    late = later.source / "customer_intelligence" / "customers" / "late.csv"
    late.write_text("id,tenant_id,email,name,health_score\nc_new,550e8400-e29b-...,not an address,A Name,12\n")
    run, events = run_in(later, job="land_early")
    late.unlink()
    assert run.is_success
    assert (later.warehouse.stat().st_mtime_ns, later.published.stat().st_mtime_ns) == before
    assert materialized(events) == {}
    seen = {
        entry.dagster_event.asset_observation_data.asset_observation.asset_key.to_user_string(): entry
        for entry in events
        if entry.dagster_event and entry.dagster_event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
    }
    assert "source/customers" in seen


class _Inbox(BaseHTTPRequestHandler):
    received: list[dict[str, str]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        _Inbox.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def inbox() -> Iterator[str]:
    _Inbox.received.clear()
    server = HTTPServer(("127.0.0.1", 0), _Inbox)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://somebody:secret-word@127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_alerts_are_sent_without_showing_where_to(
    tmp_path: Path, inbox: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = Settings(home=tmp_path, alert_urls=SecretStr(f"{inbox}, json://wrong host:secret-word"))
    automation.alert(settings, "Loompin: nightly failed", "the reason")
    assert [(message["title"], message["message"]) for message in _Inbox.received] == [
        ("Loompin: nightly failed", "the reason")
    ]
    assert "secret-word" not in caplog.text + "".join(capfd.readouterr()) + repr(settings)


def test_without_addresses_alerts_are_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert automation.alert(Settings(home=tmp_path), "title", "text") is False
    assert capfd.readouterr() == ("", "")


def test_failure_sensor_tells_job_night_and_cause(tmp_path: Path, inbox: str) -> None:
    @dg.asset(partitions_def=NIGHTS)
    def broken() -> None:
        raise dg.Failure("tenants.csv has no column 'id'")

    settings = Settings(home=tmp_path, alert_urls=SecretStr(inbox))
    job = dg.define_asset_job("nightly", [broken])
    definitions = dg.Definitions(assets=[broken], jobs=[job])
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        result = definitions.resolve_job_def("nightly").execute_in_process(
            instance=instance, partition_key="2026-02-10", raise_on_error=False
        )
        context = dg.build_run_status_sensor_context(
            "alert_on_failure", result.get_run_failure_event(), instance, result.dagster_run,
            repository_def=definitions.get_repository_def(),
        ).for_run_failure()  # fmt: skip
        automation.failure_sensor(settings)(context)
    ((title, text),) = [(message["title"], message["message"]) for message in _Inbox.received]
    assert title == "Loompin: nightly failed for the night 2026-02-10"
    assert "broken: " in text
    assert "tenants.csv has no column 'id'" in text


def test_runs_of_a_dead_process_are_closed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", source=REPO / "seeds")
    with home.instance(settings) as instance:
        runs = {
            process: instance.create_run_for_job(
                dg.JobDefinition(graph_def=dg.GraphDefinition("night"), name="night"),
                status=dg.DagsterRunStatus.STARTED, tags={home.PROCESS_TAG: process},
            ).run_id
            for process in (home.this_process(), f"{os.getpid()}@1", "999999999@5")
        }  # fmt: skip
        closed = home.close_dead_runs(instance)
        assert set(closed) == {runs[f"{os.getpid()}@1"], runs["999999999@5"]}
        alive = instance.get_run_by_id(runs[home.this_process()])
        assert alive is not None
        assert alive.status == dg.DagsterRunStatus.STARTED


# -- nights -----------------------------------------------------------------------------------------------------------


def test_nightly_from_the_command_line_is_a_run_of_the_job_in_the_ui(settings: Settings) -> None:
    with home.instance(settings) as instance:
        (run,) = instance.get_runs()
        assert (run.job_name, run.status) == ("nightly", dg.DagsterRunStatus.SUCCESS)
        assert run.tags["dagster/partition"] == NIGHT.isoformat()
        assert run.tags[".dagster/repository"] == "__repository__@loompin"
        assert run.remote_job_origin is not None
        assert run.remote_job_origin.location_name == "loompin"
        assert instance.get_status_by_partition(PUBLISHED, [NIGHT.isoformat()], NIGHTS)


def test_a_night_materializes_every_asset_with_rows_bytes_and_seconds(
    settings: Settings, specs: dict[dg.AssetKey, dg.AssetSpec]
) -> None:
    with home.instance(settings) as instance:
        (run,) = instance.get_runs()
        found = materialized(instance.all_logs(run.run_id))
    assert set(found) == {key.to_user_string() for key in specs}
    with duckdb.connect(str(settings.published), read_only=True) as connection:
        # A view holds no rows of its own; to count them would run it.
        views = {
            key.to_user_string() for key, spec in specs.items()
            if spec.metadata.get("dagster_dbt/materialization_type") == "view"
        }  # fmt: skip
        for key in (key for key in found if key.startswith("marts/") and key not in views):
            table = key.removeprefix("marts/")
            (rows,) = connection.execute(f'select count(*) from "{table}"').fetchone() or (None,)
            assert found[key]["dagster/row_count"] == rows, key
            assert {"bytes", "seconds"} <= found[key].keys(), key
    for key in (key for key in found if key.startswith("source/")):
        assert {"dagster/row_count", "bytes", "seconds", "rows_quarantined"} <= found[key].keys(), key
    assert found["published/analytics"]["path"] == str(settings.published)


def test_every_check_of_a_night_has_a_result(settings: Settings, definitions: dg.Definitions) -> None:
    with home.instance(settings) as instance:
        (run,) = instance.get_runs()
        found = evaluated(instance.all_logs(run.run_id))
    planned = {
        f"{key.asset_key.to_user_string()}:{key.name}" for key in definitions.resolve_asset_graph().asset_check_keys
    }
    assert set(found) == planned
    for rule in ("source/customers:email_regex", "source/supply_orders:amount_positive"):
        assert rule in found


def test_a_failing_rule_shows_count_sample_and_the_sql_that_finds_the_rest(settings: Settings) -> None:
    with home.instance(settings) as instance:
        (run,) = instance.get_runs()
        found = evaluated(instance.all_logs(run.run_id))
    failing = {name: data for name, data in found.items() if name.startswith("source/") and not data.passed}
    assert failing, "the catalog's orphans fail their checks"
    with duckdb.connect(str(settings.published), read_only=True) as connection:
        for name, data in failing.items():
            metadata = {key: value.value for key, value in data.metadata.items()}
            if metadata["status"] == "broken":
                assert data.description, name
                continue
            assert metadata["rows_failed"] > 0, name
            assert metadata["sample_keys"], name
            sql = metadata["sql"].removeprefix("```sql\n").removesuffix("\n```")
            if sql.startswith("-- in warehouse.duckdb"):
                with duckdb.connect(str(settings.warehouse), read_only=True) as private:
                    assert len(private.execute(sql).fetchall()) > 0, f"{name}: {sql}"
            else:
                assert len(connection.execute(sql).fetchall()) > 0, f"{name}: {sql}"
            assert data.severity == dg.AssetCheckSeverity.WARN, name


def test_one_asset_of_a_new_night_lands_and_builds_what_it_is_made_from(later: Settings) -> None:
    before = later.published.read_bytes()
    wanted = dg.AssetKey(["marts", "survey_response_trends"])
    watch = night_run.Watch()
    run, events = run_in(later, selection=[wanted], nights=(date(2026, 2, 11), date(2026, 2, 11)), watch=watch)
    assert run.is_success
    assert set(materialized(events)) == {wanted.to_user_string()}
    assert watch.landed is not None
    assert watch.landed.night == date(2026, 2, 11)
    assert watch.models_built > 0
    assert later.published.read_bytes() == before, "an asset of its own publishes nothing"
    names = {name.split(":")[0] for name in evaluated(events)}
    assert names <= {wanted.to_user_string()}


def test_a_backfill_is_one_run_that_publishes_its_last_night(
    later: Settings, specs: dict[dg.AssetKey, dg.AssetSpec], night_home: Path
) -> None:
    run, events = run_in(later, selection=list(specs), nights=(date(2026, 2, 11), date(2026, 2, 13)))
    assert run.is_success, [entry.message for entry in events if entry.level >= logging.ERROR]
    with duckdb.connect(str(later.published), read_only=True) as connection:
        assert connection.execute("select night from data_as_of").fetchall() == [(date(2026, 2, 13),)]
    with home.instance(later) as instance:
        nights = [f"2026-02-{day}" for day in (11, 12, 13)]
        for key in (PUBLISHED, dg.AssetKey(["marts", "invoices"]), source_key("tenants")):
            assert instance.get_materialized_partitions(key) >= set(nights), key
    assert len(materialized(events)) == len(specs)

    # Nothing new came, so nothing was landed and no figure of a closed day changed.
    recorded = json.loads((later.raw / "nights" / "2026-02-13.json").read_text(encoding="utf-8"))
    assert (recorded["accepted"], recorded["gone"]) == ([], [])
    before = published(night_home)
    # The calendar runs to the night, and an invoice may be overdue; what it charges is the same.
    assert set(differences(before, later.published)) <= {"invoices", "driver_history", "days"}
    amounts = "select id, amount, content_hash from invoices order by id"
    assert rows(before, amounts) == rows(later.published, amounts)

    earlier, events = run_in(
        later, selection=[dg.AssetKey(["marts", "plans"])], nights=(date(2026, 2, 12), date(2026, 2, 12))
    )
    assert earlier.is_success, [entry.message for entry in events if entry.level >= logging.ERROR]
    assert not list(later.scratch.glob("2026-*/*.duckdb")), "what was made only to compare is removed"


def test_a_rule_that_blocks_ends_the_night_before_anything_is_derived(later: Settings) -> None:
    published = later.published.read_bytes()
    tenants = later.source / "core_platform" / "tenants.csv"
    good = tenants.read_text(encoding="utf-8")
    tenants.write_text(good.replace("id,", "identifier,", 1), encoding="utf-8")
    watch = night_run.Watch()
    run, events = run_in(later, job="nightly", nights=(date(2026, 2, 14), date(2026, 2, 14)), watch=watch)
    tenants.write_text(good, encoding="utf-8")
    assert run.is_failure
    assert later.published.read_bytes() == published
    steps = {entry.step_key for entry in events if entry.dagster_event and entry.dagster_event.is_step_start}
    assert steps == {"land"}
    result = evaluated(events)["source/tenants:files_landed"]
    assert (result.passed, result.severity, result.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert "tenants.csv" in (result.description or "")
    assert any("tenants.csv" in problem for problem in watch.problems)
    assert "source/users" in materialized(events), "other tables go on"


def test_a_rule_that_came_after_loading_is_told_in_the_log(later: Settings) -> None:
    rules = later.source / "core_platform" / "validation_rules.csv"
    kept = rules.read_text(encoding="utf-8")
    definitions = build(later)
    rules.write_text(kept + "`customer`,`name`,`regex`,`^[A-Z]$`\n", encoding="utf-8")
    with home.instance(later) as instance:
        job = definitions.resolve_job_def("__ASSET_JOB").get_subset(asset_selection={source_key("customers")})
        run = instance.create_run_for_job(
            job_def=job, tags={"dagster/partition": "2026-02-14"}, asset_selection=frozenset({source_key("customers")}),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )  # fmt: skip
        list(execute_run_iterator(InMemoryJob(job), run, instance))
        said = [entry.user_message for entry in instance.all_logs(run.run_id)]
    rules.write_text(kept, encoding="utf-8")
    (line,) = [text for text in said if text.startswith("customers.name_regex")]
    assert "fail" in line
    assert "select" in line
