"""The command line: what it prints, how it ends, and what it never does. What a night does is in `test_nightly`."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from loompin import cli, failures, night
from loompin.settings import Settings

REPO = Path(__file__).resolve().parent.parent
SECRET = "planted-secret-5f2c"  # not a key of anything
LOOMPIN = [sys.executable, "-m", "loompin.cli"]


def run(*arguments: str) -> Result:
    """A command in this process."""
    return CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "200"})


def everything(result: Result) -> str:
    return result.stdout + result.stderr


def process(home: Path, *arguments: str, source: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as a user starts it."""
    environment = {**os.environ, "LOOMPIN_HOME": str(home), "COLUMNS": "200", **more}
    if source is not None:
        environment["LOOMPIN_SOURCE"] = str(source)
    return subprocess.run(
        [*LOOMPIN, *arguments], cwd=REPO, env=environment, capture_output=True, text=True, timeout=300
    )


def snapshot(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Every file below a folder with its size, time of change and content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_size,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that does not exist yet, and a planted secret."""
    path = tmp_path / "home"
    monkeypatch.setenv("LOOMPIN_HOME", str(path))
    monkeypatch.setenv("LOOMPIN_SOURCE", str(REPO / "seeds"))
    monkeypatch.setenv("LOOMPIN_KEY", SECRET)
    monkeypatch.setenv("LOOMPIN_ALERT_URLS", f"json://user:{SECRET}@localhost")
    return path


@pytest.fixture
def published(home: Path) -> Path:
    """A small published file."""
    path = home / "published" / "analytics.duckdb"
    path.parent.mkdir(parents=True)
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        connection.execute(
            """
            create table data_as_of as select date '2026-02-10' as night, 'r1' as run_id,
                timestamp '2026-02-11 00:31:00' as published_at, 'v' as code_version, 'v1' as duckdb_version;
            create table load_audit as select 'tenants' as table_name, 'tenants.csv' as source_file,
                date '2026-02-10' as night, 6 as rows_read, 5 as rows_accepted, 1 as rows_quarantined,
                0 as rows_duplicate, 0 as rows_superseded;
            create table quarantine as select 'tenants' as table_name, 'tenants.csv' as source_file, 3 as source_line,
                'id_not_null' as rule, 'id' as column_name, null as value, 'a value is required' as reason,
                '{}' as row_json, null::timestamp as received_at;
            create table data_quality as
                select date '2026-02-10' as night, 'tenants.id_not_null' as rule_id, 'tenants' as table_name,
                    'id' as column_name, 'quarantine' as severity, 'fail' as status, 6 as rows_checked, 1 as rows_failed
                union all select date '2026-02-10', 'tenants.x', 'tenants', 'x', 'warn', 'broken', 0, 0
                union all select date '2026-02-10', 'tenants.y', 'tenants', 'y', 'warn', 'pass', 6, 0;
            create table t as select i, cast(i as decimal(38,12)) / 3 as d, 'a,"' || chr(27) || '[31m' || i as s,
                case when i > 0 then timestamp '2026-01-01 10:00:00' end as w, [1, 2] as l, i > 0 as b
                from range(3) as r (i);
            create table money as select cast('0.10' as decimal(18,2)) as amount,
                cast('12345678901234567890.123456789012' as decimal(38,12)) as exact;
            """
        )
    return path


# -- help ------------------------------------------------------------------------------------------------------------

COMMANDS = (
    ["nightly"], ["check"], ["status"], ["sql"], ["version"], ["explain"], ["reproduce"], ["reprice"],
    ["explain", "invoice"], ["explain", "driver"], ["explain", "segment"], ["explain", "score"],
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_says_what_a_command_does_and_shows_an_example(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"loompin {' '.join(command)}" in result.stdout
    assert "Example" in result.stdout


def test_help_tells_the_settings_and_the_statuses() -> None:
    told = run("--help").stdout
    for word in ("LOOMPIN_SOURCE", "LOOMPIN_HOME", "LOOMPIN_KEY", "could not be", "was wrong"):
        assert word in told


def test_help_imports_nothing_heavy(home: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom loompin import cli\n"
        "assert CliRunner().invoke(cli.app, ['nightly', '--help']).exit_code == 0\n"
        "print([m for m in ('dagster', 'dbt', 'duckdb', 'great_expectations') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert told.stdout.strip() == "[]", told.stderr


def test_telemetry_is_off_before_anything_is_imported(home: Path) -> None:
    code = "import os, loompin.cli; print(os.environ['DO_NOT_TRACK'], os.environ['DBT_SEND_ANONYMOUS_USAGE_STATS'])"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DO_NOT", "DBT_"))}
    told = subprocess.run([sys.executable, "-c", code], cwd=REPO, env=clean, capture_output=True, text=True)
    assert told.stdout.split() == ["1", "false"], told.stderr


def test_version_names_what_runs(home: Path) -> None:
    result = run("version")
    assert result.exit_code == 0
    assert f"duckdb {duckdb.__version__}" in result.stdout
    assert "dagster " in result.stdout


# -- status 2: the call was wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["2026-02-30", "10.02.2026", "20260210", "yesterday", "", "2026-2-1", "2026-02-10T00:00"]
)
def test_a_bad_date_is_wrong_usage(home: Path, text: str) -> None:
    result = run("nightly", "--date", text)
    assert result.exit_code == 2
    assert text in result.stderr
    assert not home.exists()


def test_a_night_that_has_not_ended_is_wrong_usage(home: Path) -> None:
    result = run("nightly", "--date", "2999-01-01")
    assert result.exit_code == 2
    assert "2999-01-01 has not ended" in result.stderr
    assert not home.exists()


def test_a_missing_source_folder_is_wrong_usage(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMPIN_SOURCE", str(tmp_path / "nowhere"))
    for command in (["nightly", "--date", "2026-02-10"], ["check"]):
        result = run(*command)
        assert result.exit_code == 2, command
        assert str(tmp_path / "nowhere") in result.stderr
        assert "LOOMPIN_SOURCE" in result.stderr
    assert not home.exists()


def test_a_source_folder_without_a_known_table_is_wrong_usage(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "unheard_of.csv").write_text("a\n1\n")
    monkeypatch.setenv("LOOMPIN_SOURCE", str(tmp_path / "source"))
    result = run("check")
    assert result.exit_code == 2
    assert "no file of a known table" in result.stderr


@pytest.mark.parametrize(
    "command", [["sql", "select 1"], ["explain", "invoice", "INV-24-001"], ["explain", "driver", "x"]]
)
def test_reading_before_the_first_night_is_wrong_usage(home: Path, command: list[str]) -> None:
    result = run(*command)
    assert result.exit_code == 2
    assert "no night has been published yet" in result.stderr
    assert "loompin nightly" in result.stderr
    assert not home.exists()


def test_an_unknown_command_or_option_is_wrong_usage(home: Path) -> None:
    assert run("nigthly").exit_code == 2
    assert run("nightly", "--when", "now").exit_code == 2
    assert run("sql").exit_code == 2


# -- sql -------------------------------------------------------------------------------------------------------------


def test_sql_shows_a_table(published: Path) -> None:
    result = run("sql", "select i, s from t order by i")
    assert result.exit_code == 0
    assert "3 rows" in result.stdout
    # What a value holds cannot command the terminal.
    assert "\x1b" not in result.stdout
    assert "\\x1b[31m0" in result.stdout


def test_sql_writes_csv_with_every_row_and_value(published: Path) -> None:
    result = run("sql", "--csv", "select * from t order by i")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["i"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["w"] == ""
    assert rows[1]["w"] == "2026-01-01 10:00:00"
    assert rows[1]["l"] == "[1, 2]"
    assert rows[1]["b"] == "true"
    assert rows[2]["s"] == 'a,"\x1b[31m2'


def test_sql_writes_json_with_exact_numbers(published: Path) -> None:
    result = run("sql", "--json", "select * from money")
    (row,) = json.loads(result.stdout, parse_float=Decimal)
    assert row == {"amount": Decimal("0.10"), "exact": Decimal("12345678901234567890.123456789012")}
    assert str(row["amount"]) == "0.10"


def test_sql_writes_json_that_any_reader_takes(published: Path) -> None:
    query = "select 'nan'::double as n, [1.5, null] as l, {'a': date '2026-01-01'} as s, 'ü\"' as t from t limit 2"
    rows = json.loads(run("sql", "--json", query).stdout)
    assert rows == [{"n": None, "l": [1.5, None], "s": {"a": "2026-01-01"}, "t": 'ü"'}] * 2
    assert json.loads(run("sql", "--json", "select 1 as a where false").stdout) == []


def test_sql_says_when_it_shows_only_the_first_rows(published: Path) -> None:
    result = run("sql", "--limit", "10", "select * from range(11)")
    assert "the first 10 rows" in result.stdout
    assert run("sql", "--csv", "select * from range(5000)").stdout.count("\n") == 5001


@pytest.mark.parametrize(
    "query",
    [
        "show tables", "describe t", "from t", "explain select 1", "pivot t on b using sum(i)",
        "with a as (select 1) select * from a;",
    ],
)  # fmt: skip
def test_sql_takes_every_kind_of_query(published: Path, query: str) -> None:
    assert run("sql", query).exit_code == 0


@pytest.mark.parametrize(
    "query",
    [
        "insert into t values (1)", "delete from t", "update t set i = 1", "drop table t", "create table u as select 1",
        "create temp table u as select 1", "attach ':memory:' as m", "attach '{path}' as again (read_write)",
        "copy t to '{folder}/out.csv'", "export database '{folder}/out'", "install httpfs", "load httpfs",
        "set memory_limit = '99GB'", "pragma memory_limit = '99GB'", "select * from read_csv('{secret}')",
        "select * from read_text('{secret}')", "select * from '{secret}'", "select * from glob('{folder}/*')",
        "select * from sniff_csv('{secret}')", "select 1; select 2", "select 1; drop table t", "", "/* nothing */",
        "selec 1", "select nothing from t", "select * from nowhere", "checkpoint", "vacuum", "begin",
    ],
)  # fmt: skip
def test_sql_refuses_whatever_is_no_query_on_the_published_file(published: Path, tmp_path: Path, query: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(f"line\n{SECRET}\n")
    before = snapshot(tmp_path)
    result = run("sql", query.format(path=published, folder=tmp_path, secret=secret))
    assert result.exit_code == 2, everything(result)
    assert result.stderr.startswith("loompin: ")
    assert "Traceback" not in everything(result)
    assert SECRET not in everything(result)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "query", ["-- a comment\nselect 1 as one", "--a = 1\nselect 1 as one", "--csv\nselect 1 as one"]
)
def test_sql_takes_a_query_that_begins_with_a_comment(published: Path, query: str) -> None:
    assert run("sql", query, "--csv").stdout == run("sql", "--csv", query).stdout == "one\n1\n"


def test_sql_says_where_a_query_is_wrong(published: Path) -> None:
    told = run("sql", "select nothing from t").stderr
    assert '"nothing" not found' in told
    assert "LINE 1" in told


def test_sql_says_why_a_file_cannot_be_read(published: Path) -> None:
    assert "tables of the published file only" in run("sql", "select * from read_csv('/etc/passwd')").stderr


def test_sql_has_bounded_memory(published: Path) -> None:
    told = run("sql", "--csv", "select value from duckdb_settings() where name = 'memory_limit'").stdout
    assert "1.8 GiB" in told


def test_sql_cannot_ask_for_two_forms(published: Path) -> None:
    assert run("sql", "--csv", "--json", "select 1").exit_code == 2


def test_a_pipe_that_closes_early_is_no_error(published: Path) -> None:
    environment = {**os.environ, "LOOMPIN_HOME": str(published.parent.parent)}
    with subprocess.Popen(
        [*LOOMPIN, "sql", "--csv", "select * from range(3000000)"], cwd=REPO, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as started:  # fmt: skip
        assert started.stdout is not None
        assert started.stderr is not None
        assert started.stdout.readline() == "range\n"
        started.stdout.close()
        assert "Traceback" not in started.stderr.read()


def test_a_damaged_published_file_is_told(published: Path) -> None:
    published.write_bytes(b"not a database at all" * 1000)
    result = run("sql", "select 1")
    assert result.exit_code == 1
    assert "run the night again" in result.stderr


# -- status ----------------------------------------------------------------------------------------------------------


def test_status_of_a_home_without_a_night(home: Path) -> None:
    result = run("status")
    assert result.exit_code == 0
    assert "No night has been published" in result.stdout
    assert "files new" in result.stdout
    assert not home.exists()


def test_status_tells_what_is_published_quarantined_and_broken(published: Path) -> None:
    result = run("status")
    assert result.exit_code == 0
    for told in ("2026-02-10", "5 of 6 source rows accepted", "tenants.csv:3", "a value is required", "tenants.x",
                 "broken", "1 passed", "1 broken", "1 failed (quarantine)"):  # fmt: skip
        assert told in result.stdout, told


def test_status_writes_nothing_and_needs_no_warehouse(published: Path) -> None:
    home = published.parent.parent
    (home / "warehouse.duckdb").write_bytes(b"never opened")
    before = snapshot(home)
    assert run("status").exit_code == 0
    assert snapshot(home) == before


def test_status_says_that_the_source_folder_is_missing(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMPIN_SOURCE", "/nowhere")
    result = run("status")
    assert result.exit_code == 0
    assert "does not exist" in result.stdout


# -- check -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few tables of the seeds, so that a dry run is quick."""
    source = tmp_path / "source"
    for table in ("tenants", "users", "plans", "validation_rules"):
        (source / "core_platform").mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / "seeds" / "core_platform" / f"{table}.csv", source / "core_platform")
    monkeypatch.setenv("LOOMPIN_SOURCE", str(source))
    return source


def test_check_accepts_good_files_and_writes_nothing(home: Path, small_source: Path) -> None:
    before = snapshot(small_source)
    result = run("check")
    assert result.exit_code == 0, everything(result)
    assert "Nothing here would end the night" in result.stdout
    assert "4 files" in result.stdout
    assert not home.exists()
    assert snapshot(small_source) == before


def test_check_in_a_home_with_nights_writes_nothing(night_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMPIN_HOME", str(night_home))
    before = snapshot(night_home)
    result = run("check")
    assert result.exit_code == 0, everything(result)
    assert snapshot(night_home) == before


def test_check_tells_file_line_and_rule_of_a_bad_row(home: Path, small_source: Path) -> None:
    with (small_source / "core_platform" / "plans.csv").open("a") as file:
        file.write("Odd,12.5 parsecs,3,{}\n")
    result = run("check")
    assert result.exit_code == 0, everything(result)
    assert "plans.price_monthly_type" in result.stdout
    assert "core_platform/plans.csv:7" in result.stdout


def test_check_ends_with_1_if_something_would_end_the_night(home: Path, small_source: Path) -> None:
    (small_source / "core_platform" / "plans.csv").write_text("name,max_users,features\nPro,1,x\n")
    result = run("check")
    assert result.exit_code == 1
    assert "price_monthly" in result.stderr
    assert "core_platform/plans.csv" in result.stderr
    assert not home.exists()


# -- status 1: it could not be completed -----------------------------------------------------------------------------


@contextlib.contextmanager
def another_run(home: Path) -> Iterator[int]:
    """Another process that holds the home's lock."""
    code = (
        "import sys, time\nfrom loompin.lock import home_lock\nfrom loompin.settings import Settings\n"
        "with home_lock(Settings(), 'a test'):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    environment = {**os.environ, "LOOMPIN_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPO,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder.pid
        holder.stdin.close()


def test_a_night_beside_another_run_ends_at_once_and_says_who(published: Path) -> None:
    home = published.parent.parent
    before = published.read_bytes()
    with another_run(home) as pid:
        started = time.monotonic()
        ended = process(home, "nightly", "--date", "2026-02-10")
        assert time.monotonic() - started < 60
        assert ended.returncode == 1
        assert f"process {pid}" in ended.stderr
        assert "a test" in ended.stderr
        assert published.read_bytes() == before
        told = process(home, "status")
        assert told.returncode == 0
        assert f"process {pid}" in told.stdout


def failing(error: Exception, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(night, "check", fail)
    return run("check", *options)


def test_a_full_disk_is_told_with_what_is_free(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (
        OSError(errno.ENOSPC, "No space left on device", "x"),
        duckdb.IOException('Could not write file "x": No space left on device'),
    ):
        result = failing(error, monkeypatch)
        assert result.exit_code == 1
        assert "the disk is full" in result.stderr
        assert "bytes are free" in result.stderr


def test_whatever_fails_on_a_disk_without_room_is_told_as_that(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("(sqlite3.OperationalError) disk I/O error")
    assert "unexpected RuntimeError" in failing(error, monkeypatch).stderr
    usage = shutil.disk_usage(published)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4096))
    assert "the disk is full: 4,096 bytes are free" in failing(error, monkeypatch).stderr


def test_an_unexpected_error_is_one_line_and_a_traceback_only_on_request(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = failing(ZeroDivisionError("no way"), monkeypatch)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "loompin: unexpected ZeroDivisionError: no way"
    assert "--debug" in result.stderr
    assert "Traceback" not in everything(result)
    assert "Traceback" in failing(ZeroDivisionError("no way"), monkeypatch, "--debug").stderr


def test_every_error_has_words_and_a_status(home: Path) -> None:
    from loompin import contracts, lock, privacy, publish, reading, rules, sources

    told = {
        failures.UnknownId("x"): 2,
        sources.NoSource("x"): 2,
        night.UsageError("x"): 2,
        reading.QueryRefused("x"): 2,
        reading.NothingPublished("x"): 2,
        night.NightError("x"): 1,
        publish.NotPublishable("x"): 1,
        privacy.PseudonymKeyError("x"): 1,
        lock.LockHeld("x"): 1,
        contracts.ContractError(Path("product.yml"), 7, "x"): 1,
        rules.ExpectationsError("x"): 1,
        duckdb.IOException("x"): 1,
        duckdb.OutOfMemoryException("x"): 1,
        PermissionError(errno.EACCES, "Permission denied", "somewhere"): 1,
        ValueError("x"): 1,
        ValueError(): 1,
    }
    for error, status in told.items():
        failure = failures.explain(error, Settings())
        assert failure.status == status, error
        assert failure.message
        assert "\n" not in failure.message


def test_a_wrong_contract_names_file_and_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loompin.contracts import ContractError

    result = failing(ContractError(Path("product.yml"), 7, "unknown data_type"), monkeypatch)
    assert result.exit_code == 1
    assert "product.yml, line 7: unknown data_type" in result.stderr


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_no_command_prints_a_secret(published: Path, tmp_path: Path) -> None:
    source = tmp_path / "empty"
    source.mkdir()
    more = {"LOOMPIN_KEY": SECRET, "LOOMPIN_ALERT_URLS": f"json://user:{SECRET}@localhost"}
    home = published.parent.parent
    commands = (
        ["status"], ["version"], ["check", "--debug"], ["nightly", "--date", "2026-02-11", "--debug"],
        ["sql", "--csv", "select * from duckdb_settings()"], ["sql", "--csv", "select * from duckdb_secrets()"],
        ["explain", "invoice", "x", "--debug"],
    )  # fmt: skip
    for command in commands:
        ended = process(home, *command, source=source, **more)
        assert SECRET not in ended.stdout + ended.stderr, command


def test_a_setting_that_is_wrong_is_named_without_its_value(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pydantic

    with pytest.raises(pydantic.ValidationError) as raised:
        Settings(key=[SECRET])  # type: ignore[arg-type]
    failure = failures.explain(raised.value, None)
    assert failure.status == 2
    assert "LOOMPIN_KEY" in failure.message
    assert SECRET not in failure.message + failure.advice


# -- explain (on a real night) ---------------------------------------------------------------------------------------


@pytest.fixture
def real(night_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a real night, only to be read."""
    monkeypatch.setenv("LOOMPIN_HOME", str(night_home))
    monkeypatch.setenv("LOOMPIN_SOURCE", str(REPO / "seeds"))
    return night_home


def test_explain_an_invoice_down_to_its_events(real: Path) -> None:
    result = run("explain", "invoice", "INV-24-002", "--events")
    assert result.exit_code == 0, everything(result)
    told = " ".join(result.stdout.split())
    assert "545.20 USD" in told
    assert "499.00" in told
    assert "The lines add up to 545.20 USD, the amount of the invoice." in told
    assert "which is what tenant_usage_daily holds" in told
    assert "use_acme_ai_input_1k_20260101_01" in told
    assert "supply_chain/usage_events.csv" in told
    assert "DIFFERENCE" not in told


def test_explain_every_invoice_without_a_difference(real: Path) -> None:
    with contextlib.closing(duckdb.connect(str(real / "published" / "analytics.duckdb"), read_only=True)) as connection:
        numbers = [row[0] for row in connection.execute("select id from invoices order by id").fetchall()]
    assert len(numbers) >= 5
    for number in numbers:
        result = run("explain", "invoice", number, "--events")
        assert result.exit_code == 0, everything(result)
        assert "DIFFERENCE" not in result.stdout, number


@pytest.mark.parametrize("topic", ["Shipping Speed", "shipping speed", "tax_002"])
def test_explain_a_driver_down_to_the_words(real: Path, topic: str) -> None:
    result = run("explain", "driver", topic, "--survey", "sur_001")
    assert result.exit_code == 0, everything(result)
    told = " ".join(result.stdout.split())
    assert "Shipping Speed (tax_002) in survey sur_001" in told
    assert "impact -0.15" in told
    assert "Added anew from survey_sentiment and response_topics: the same." in told
    assert "shipping" in told


@pytest.mark.parametrize(
    "command",
    [
        ["invoice", "INV-99-999"],
        ["invoice", "' or 1=1"],
        ["driver", "Nothing"],
        ["driver", "tax_002", "--survey", "sur_999"],
        ["driver", "tax_002", "--tenant", "acme_9"],
        ["segment", "Nobody"],
        ["score", "Nothing"],
        ["score", "Support", "--tenant", "acme_9"],
    ],
)
def test_explain_of_an_unknown_id_is_wrong_usage(real: Path, command: list[str]) -> None:
    result = run("explain", *command)
    assert result.exit_code == 2
    assert command[-1] in result.stderr
    assert result.stdout == ""
