"""Whole nights, run as a user runs them: what they publish, what survives, what repeats and rebuilds change (nothing).

How rows are told apart, masked or billed has tests of its own. The nights here share one chain of homes, since each
costs many seconds: 2026-02-10 on the seeds, then 11 with nothing new, 12 with bad and late rows, 13 with corrections.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from loompin import lock, reports
from loompin.settings import Settings
from tests.conftest import REPO, copy_home, loompin_process, started
from tests.published_file import differences, published, rows

SEEDS = REPO / "seeds"
COLUMNS = {
    "quarantine": "table_name source_file source_line rule column_name value reason row_json received_at",
    "load_audit": (
        "table_name source_file night rows_read rows_accepted rows_quarantined rows_duplicate rows_superseded"
    ),
    "data_quality": "night rule_id table_name column_name severity status rows_checked rows_failed",
    "data_as_of": "night run_id published_at code_version duckdb_version",
}


def digests(home: Path, night: str) -> dict[str, str]:
    """What the record says of a published night."""
    told: dict[str, str] = json.loads((home / "raw" / "nights" / f"{night}.json").read_text())["digests"]
    return told


def state(path: Path) -> tuple[int, int, str]:
    """A file's place on the disk, time of change and content."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()


# -- the first night -------------------------------------------------------------------------------------------------


def test_the_months_of_a_published_night_are_known_as_tested(night_home: Path) -> None:
    with contextlib.closing(duckdb.connect(str(night_home / "warehouse.duckdb"), read_only=True)) as connection:
        made, tested = (
            connection.execute(f"from kept.{table} order by all").fetchall()
            for table in ("made_months", "tested_months")
        )
    assert {relation for relation, _, _ in made} >= {"int_usage_days", "tenant_usage_daily"}
    assert tested == made


def test_the_tables_about_the_run_have_the_columns_of_the_design(night_home: Path) -> None:
    for table, columns in COLUMNS.items():
        found = [row[0] for row in rows(published(night_home), f"describe {table}")]
        assert found == columns.split(), table


def test_data_as_of_says_which_night(night_home: Path) -> None:
    ((night, run_id, at, code, engine),) = rows(published(night_home), "from data_as_of")
    assert night == date(2026, 2, 10)
    assert len(run_id) == 36
    assert isinstance(at, datetime)
    assert code
    assert engine == duckdb.__version__


def test_every_catalog_table_is_published(night_home: Path) -> None:
    with (REPO / "tests" / "reference" / "tables.csv").open(newline="") as file:
        catalog = {row["table"] for row in csv.DictReader(file)}
    found = {row[0] for row in rows(published(night_home), "select table_name from duckdb_tables()")}
    assert len(catalog) == 94
    assert catalog | COLUMNS.keys() <= found
    empty = [
        table for table in sorted(catalog) if rows(published(night_home), f'select count(*) from "{table}"') == [(0,)]
    ]
    assert empty == []


def test_only_the_schema_main_is_published(night_home: Path) -> None:
    assert rows(published(night_home), "select distinct schema_name from duckdb_tables()") == [("main",)]
    # One view reads the files beside it, the others put published tables together for who asks.
    views = "select view_name, schema_name from duckdb_views() where not internal order by view_name"
    assert rows(published(night_home), views) == [
        (view, "main") for view in ("driver_evidence", "executive_evidence", "invoice_line_events", "segment_evidence")
    ]


def test_rows_read_are_the_rows_of_the_files(night_home: Path) -> None:
    read = dict(rows(published(night_home), "select source_file, rows_read from load_audit"))
    files = sorted(SEEDS.rglob("*.csv"))
    assert read.keys() == {str(file.relative_to(SEEDS)) for file in files}
    for file in files:
        with file.open(newline="", encoding="utf-8") as opened:
            assert read[str(file.relative_to(SEEDS))] == sum(1 for _ in csv.reader(opened)) - 1, file


@pytest.fixture(params=["night_home", "bad"])
def any_home(request: pytest.FixtureRequest) -> Path:
    """Homes to hold laws against: a clean night and one with bad rows."""
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Path) else Path(found.kept)


def test_every_row_read_went_somewhere(any_home: Path) -> None:
    wrong = rows(
        published(any_home),
        "from load_audit where rows_read <> rows_accepted + rows_quarantined + rows_duplicate + rows_superseded",
    )
    assert wrong == []


def test_quarantined_rows_are_counted_as_they_stand(any_home: Path) -> None:
    audit = rows(
        published(any_home),
        "select source_file, rows_quarantined from load_audit where rows_quarantined > 0 order by all",
    )
    held = rows(
        published(any_home),
        "select source_file, count(distinct source_line) from quarantine group by source_file order by all",
    )
    assert audit == held


def test_accepted_rows_are_the_rows_of_the_tables(night_home: Path) -> None:
    accepted = rows(published(night_home), "select table_name, sum(rows_accepted) from load_audit group by table_name")
    tables = {row[0] for row in rows(published(night_home), "select table_name from duckdb_tables()")}
    counted = 0
    for table, number in accepted:
        if table in tables:
            counted += 1
            assert rows(published(night_home), f'select count(*) from "{table}"') == [(number,)], table
    assert counted >= 77


def test_every_check_has_a_result(night_home: Path) -> None:
    results = rows(published(night_home), "select rule_id, status, rows_checked, rows_failed from data_quality")
    assert len(results) == len({result[0] for result in results})
    assert {result[1] for result in results} <= {"pass", "fail", "broken"}
    assert all((status == "pass") == (failed == 0) for _, status, _, failed in results if status != "broken")
    names = {result[0] for result in results}
    assert {"customers.email_regex", "customer_events.occurred_at_not_null", "customer_events.sentiment_score_range",
            "product_variants.sku_unique", "supply_orders.amount_positive"} <= names  # fmt: skip


def test_the_summary_says_what_can_be_queried(night_home: Path) -> None:
    told = (night_home.parent / "output.txt").read_text()
    for word in (
        "rows read",
        "rows accepted",
        "rows quarantined",
        "late rows",
        "checks passed",
        "seconds",
        "Published: ",
    ):
        assert word in told
    assert str(published(night_home)) in told
    query = told.split('loompin sql "')[1].split('"')[0]
    answered = loompin_process(night_home, "sql", "--csv", query)
    assert answered.returncode == 0
    assert "acme_1,2026-01-01,499.00,Paid" in answered.stdout


def test_the_summary_of_a_home_without_invoices_leads_to_the_tables_with_rows(night_home: Path, tmp_path: Path) -> None:
    shutil.copytree(night_home / "published", tmp_path / "published")
    told = "".join(part for part in reports.where(Settings(home=tmp_path)) if isinstance(part, str))
    query = told.split('loompin sql "')[1].split('"')[0]
    answered = loompin_process(tmp_path, "sql", "--csv", query)
    assert answered.returncode == 0
    assert "survey_responses" not in answered.stdout, "not published"
    assert {"survey_drivers", "tenants"} <= {line.split(",")[0] for line in answered.stdout.splitlines()}


def test_private_files_are_their_owners(night_home: Path) -> None:
    assert (night_home / "warehouse.duckdb").stat().st_mode & 0o777 == 0o600
    for folder in ("raw", "scratch", "dagster", "dbt"):
        assert (night_home / folder).stat().st_mode & 0o077 == 0, folder
    assert published(night_home).stat().st_mode & 0o044 == 0o044


def test_the_run_is_in_dagsters_history(night_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster import DagsterRunStatus

    from dagster_project.home import instance

    monkeypatch.setenv("DAGSTER_HOME", "")  # it is set by opening the home, and given back
    ((run_id,),) = rows(published(night_home), "select run_id from data_as_of")
    with instance(Settings(home=night_home)) as opened:
        run = opened.get_run_by_id(run_id)
        assert run is not None
        assert run.status == DagsterRunStatus.SUCCESS
        assert run.tags["dagster/partition"] == "2026-02-10"


def test_a_repeat_is_quick_and_changes_nothing(night_home: Path, tmp_path: Path) -> None:
    home = copy_home(night_home, tmp_path / "home")
    before = {path: state(path) for path in sorted(home.rglob("*")) if path.is_file()}
    ended = loompin_process(home, "nightly", "--date", "2026-02-10")
    assert ended.returncode == 0, ended.stderr
    assert "complete" in ended.stdout
    # Dagster is not even started.
    assert not (home / "dagster").exists()
    after = {path: state(path) for path in sorted(home.rglob("*")) if path.is_file() and path.name != ".lock"}
    assert after == before


# -- the chain of nights ---------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """A home after a night of the chain: `home` goes on, `kept` is how it was then (published file and record)."""

    home: Path
    source: Path
    kept: Path
    output: str = ""
    seen: dict[str, Any] = field(default_factory=dict)


def keep(home: Path, name: str) -> Path:
    kept = home.parent / name
    shutil.copytree(home / "published", kept / "published")
    shutil.copytree(home / "raw" / "nights", kept / "raw" / "nights")
    return kept


def run_night(stage: Stage, night: str) -> str:
    ended = loompin_process(stage.home, "nightly", "--date", night, source=stage.source)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def wait_for(holds: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 300.0) -> bool:
    """Wait until something holds; False if the process ended first."""
    deadline = time.monotonic() + seconds
    while not holds():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return True


NEW_EVENTS = """\
event_id,tenant_id,driver_key,quantity,occurred_at,received_at,cancels_event_id
new_good,acme_1,infra.storage.gb,7,2026-02-11T10:00:00Z,2026-02-12T10:00:00Z,
new_bad,acme_1,infra.storage.gb,{quantity},2026-02-12T09:00:00Z,2026-02-12T10:00:00Z,
new_late,acme_1,infra.storage.gb,11,2026-01-20T10:00:00Z,2026-02-05T10:00:00Z,
new_unknown,lex_corp,infra.storage.gb,1,2026-02-12T09:00:00Z,2026-02-12T10:00:00Z,
"""
NEW_CUSTOMERS = """\
id,tenant_id,email,name,health_score
cust_new_1,acme_1,clark.kent@planet.example,Clark Kent,70
cust_new_2,acme_1,no address at all,Lois Lane,60
"""
EVENTS, CUSTOMERS = "supply_chain/usage_events/2026-02-12.csv", "customer_intelligence/customers/new.csv"


@pytest.fixture(scope="module")
def bad(night_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A night with rows that do not fit, that break a rule, that nobody knows the tenant of, and that come late.

    It is killed once while files are landed. Then it runs while a reader holds the published file open and another
    night is started.
    """
    folder = tmp_path_factory.mktemp("chain")
    home = copy_home(night_home, folder / "home")
    source = Path(shutil.copytree(SEEDS, folder / "source"))
    stage = Stage(home, source, folder)
    (source / EVENTS).parent.mkdir()
    (source / EVENTS).write_text(NEW_EVENTS.format(quantity="a dozen"))
    (source / CUSTOMERS).write_text(NEW_CUSTOMERS)
    landed = len(parts(home))
    stage.seen["killed"] = kill(home, source, "2026-02-12", lambda: len(parts(home)) > landed)
    stage.seen["after the kill"] = state(published(home))[2]
    question = "select (select night from data_as_of), (select sum(amount) from invoices), (select count(*) from users)"
    with contextlib.closing(duckdb.connect(str(published(home)), read_only=True)) as reader:
        stage.seen["reader before"] = reader.execute(question).fetchone()
        with started(
            home, "nightly", "--date", "2026-02-12", source=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as night:
            settings = Settings(home=home, source=source)
            wait_for(lambda: lock.holder(settings) is not None, night)
            stage.seen["first"] = night.pid
            stage.seen["beside"] = loompin_process(home, "nightly", "--date", "2026-02-12", source=source)
            stage.seen["status meanwhile"] = loompin_process(home, "status", source=source)
            stage.seen["reader meanwhile"] = reader.execute(question).fetchone()
            assert night.stdout is not None
            stage.output = night.stdout.read()
        assert night.returncode == 0, stage.output
        stage.seen["reader after"] = reader.execute(question).fetchone()
    stage.seen["status"] = loompin_process(home, "status", source=source)
    stage.kept = keep(home, "after-12")
    return stage


def kill(home: Path, source: Path, night: str, seen: Callable[[], bool]) -> bool:
    """Start a night and kill it as soon as something can be seen of a step; False if it ended before."""
    with started(
        home, "nightly", "--date", night, source=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        killed = wait_for(seen, process)
        process.send_signal(signal.SIGKILL)
    return killed


def parts(home: Path) -> list[Path]:
    return list((home / "raw").glob("*/*.parquet"))


@pytest.fixture(scope="module")
def corrected(bad: Stage) -> Stage:
    """The file corrected, and the rule that held the other row back removed."""
    stage = Stage(bad.home, bad.source, bad.kept)
    (stage.source / EVENTS).write_text(NEW_EVENTS.format(quantity="12.5"))
    path = stage.source / "core_platform" / "validation_rules.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "`regex`" not in line))
    stage.output = run_night(stage, "2026-02-13")
    stage.kept = keep(stage.home, "after-13")
    return stage


def test_a_night_that_was_killed_while_it_landed_changed_nothing_that_is_read(night_home: Path, bad: Stage) -> None:
    assert bad.seen["killed"]
    assert bad.seen["after the kill"] == state(published(night_home))[2]


def test_a_reader_keeps_its_night_and_the_next_one_is_published(bad: Stage) -> None:
    seen = bad.seen
    assert seen["reader before"][0] == date(2026, 2, 10)
    assert seen["reader meanwhile"] == seen["reader after"] == seen["reader before"]
    told = loompin_process(bad.home, "sql", "--csv", "select night from data_as_of")
    assert told.returncode == 0
    assert rows(published(bad.kept), "select night from data_as_of") == [(date(2026, 2, 12),)]


def test_a_second_night_beside_ends_with_1_and_says_who(bad: Stage) -> None:
    beside = bad.seen["beside"]
    assert beside.returncode == 1
    assert f"process {bad.seen['first']}" in beside.stderr
    assert "nightly --date 2026-02-12" in beside.stderr
    assert bad.seen["status meanwhile"].returncode == 0
    assert f"process {bad.seen['first']}" in bad.seen["status meanwhile"].stdout


def test_bad_rows_are_held_back_with_their_reason(bad: Stage) -> None:
    held = rows(
        published(bad.kept),
        "select table_name, source_file, source_line, rule, column_name, value, row_json is null from quarantine"
        " order by all",
    )
    assert held == [
        # Personal data: neither the value nor the row.
        ("customers", CUSTOMERS, 3, "email_regex", "email", None, True),
        ("usage_events", EVENTS, 3, "bad_quantity", "quantity", "a dozen", False),
        ("usage_events", EVENTS, 5, "unknown_tenant", "tenant_id", "lex_corp", False),
    ]
    reasons = rows(published(bad.kept), "select reason, received_at from quarantine order by table_name, source_line")
    assert all(reason for reason, _ in reasons)
    assert reasons[1][1] == datetime(2026, 2, 12, 10)  # noqa: DTZ001  TIMESTAMP in UTC


def test_the_summary_and_the_status_tell_what_was_held_back_and_what_came_late(bad: Stage) -> None:
    for told in (bad.output, bad.seen["status"].stdout):
        for word in ("customers.email_regex", "usage_events.bad_quantity", f"{EVENTS}", "2026-02-05 10:00:00"):
            assert word in told, word


def test_a_late_event_changes_no_final_invoice(night_home: Path, bad: Stage) -> None:
    lines = "select * from invoice_lines where invoice_id is not null order by line_id"
    assert rows(published(night_home), lines) == rows(published(bad.kept), lines)
    daily = "select quantity from tenant_usage_daily where driver_key = 'infra.storage.gb' and tenant_slug = 'acme_1'"
    day = f"{daily} and usage_date = date '2026-01-20'"
    assert rows(published(bad.kept), day)[0][0] - rows(published(night_home), day)[0][0] == Decimal(11)
    assert rows(published(bad.kept), f"{daily} and usage_date = date '2026-02-12'") == []


def test_a_row_comes_back_when_its_file_or_its_rule_is_corrected(bad: Stage, corrected: Stage) -> None:
    assert rows(published(corrected.kept), "select table_name, rule from quarantine") == [
        ("usage_events", "unknown_tenant")
    ]
    usage = "select quantity from tenant_usage_daily where usage_date = date '2026-02-12' and tenant_slug = 'acme_1'"
    assert rows(published(bad.kept), usage) == []
    assert rows(published(corrected.kept), usage) == [(Decimal("12.5"),)]
    customers = "select id from customers where id like 'cust_new_%' order by id"
    assert rows(published(bad.kept), customers) == [("cust_new_1",)]
    assert rows(published(corrected.kept), customers) == [("cust_new_1",), ("cust_new_2",)]
    rules = "select count(*) from data_quality where rule_id = 'customers.email_regex'"
    assert rows(published(bad.kept), rules) == [(1,)]
    assert rows(published(corrected.kept), rules) == [(0,)]


def test_a_correction_is_no_second_row(corrected: Stage) -> None:
    audit = rows(
        published(corrected.kept),
        "select rows_read, rows_accepted, rows_quarantined, rows_duplicate from load_audit"
        f" where source_file = '{EVENTS}'",
    )
    assert audit == [(4, 3, 1, 0)]


def test_an_earlier_night_is_recomputed_compared_and_not_published(corrected: Stage) -> None:
    before = state(published(corrected.home))
    ended = loompin_process(corrected.home, "nightly", "--date", "2026-02-12", source=corrected.source)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "equals what was published" in ended.stdout
    assert state(published(corrected.home)) == before


def test_an_earlier_night_that_differs_ends_with_1_and_names_what_differs(corrected: Stage) -> None:
    """All tables but the one whose digest was changed in the record come out as they were published."""
    path = corrected.home / "raw" / "nights" / "2026-02-12.json"
    kept = path.read_text()
    recorded = json.loads(kept)
    recorded["digests"]["invoices"] = "0:0"
    path.write_text(json.dumps(recorded))
    before = state(published(corrected.home))
    ended = loompin_process(corrected.home, "nightly", "--date", "2026-02-12", source=corrected.source)
    path.write_text(kept)
    assert ended.returncode == 1, ended.stdout
    assert "differs from what was published for it in invoices;" in ended.stderr
    assert state(published(corrected.home)) == before


def test_warehouse_and_published_file_are_made_again_from_the_record(corrected: Stage, tmp_path: Path) -> None:
    """Also if that is killed while models are built."""
    home = copy_home(corrected.home, tmp_path / "home")
    warehouse = home / "warehouse.duckdb"
    warehouse.unlink()
    published(home).unlink()
    # The source folder has no part in it: only the record has.
    empty = tmp_path / "source"
    empty.mkdir()
    (empty / "tenants.csv").write_text("id,name,plan,status,region\n")
    assert kill(home, empty, "2026-02-13", lambda: warehouse.exists() and warehouse.stat().st_size > 20 << 20)
    assert not published(home).exists()
    ended = loompin_process(home, "nightly", "--date", "2026-02-13", source=empty)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert differences(published(corrected.kept), published(home)) == []
    assert digests(home, "2026-02-13") == digests(corrected.kept, "2026-02-13")
    left, expected = (
        sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        for folder in (home / "published", corrected.kept / "published")
    )
    assert left == expected
    assert "analytics.duckdb" in left


# -- a night that ends badly -----------------------------------------------------------------------------------------


def test_a_night_that_cannot_be_published_ends_with_1_and_leaves_everything(night_home: Path, tmp_path: Path) -> None:
    home = copy_home(night_home, tmp_path / "home")
    source = Path(shutil.copytree(SEEDS, tmp_path / "source"))
    (source / "core_platform" / "plans.csv").write_text("name,max_users,features\nPro,1,x\n")
    before, nights = state(published(home)), sorted((home / "raw" / "nights").glob("????-??-??.json"))
    ended = loompin_process(home, "nightly", "--date", "2026-02-20", source=source)
    assert ended.returncode == 1
    assert "core_platform/plans.csv" in ended.stderr
    assert "price_monthly" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert state(published(home)) == before
    assert sorted((home / "raw" / "nights").glob("????-??-??.json")) == nights
