"""The warehouse in a real browser: what an engineer sees and clicks in Dagster's UI, and what the night's pages show.

The tests share one UI and one home, which begins empty; each materializes what it needs from the UI. Screenshots of the
pages are kept in `screenshots/`, to be looked at. Dagster's definitions themselves are tested in `test_dagster.py`.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster_ui import REPO, Run, Server, go, launch, open_launcher, shot, shown
from playwright.sync_api import Browser, BrowserContext, Page, expect

from loompin.lock import home_lock
from loompin.settings import Settings

NIGHT, NEXT_NIGHT, MONTH_END = "2026-02-10", "2026-02-11", "2026-03-10"
EARLIER = ("2026-02-04", "2026-02-05")
DOMAINS = sorted(path.stem for path in (REPO / "dbt_project" / "models" / "domains").glob("*.yml"))
SOURCES = {
    row["table"]
    for row in csv.DictReader((REPO / "tests" / "reference" / "tables.csv").open())
    if row["origin"] == "source"
}


@contextlib.contextmanager
def reader(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A reader of a DuckDB file. By a name of its own, as DuckDB keeps one instance a path and process."""
    alias = file.with_name(f"{file.name}.{os.getpid()}.{time.monotonic_ns()}")
    os.link(file, alias)
    try:
        with contextlib.closing(duckdb.connect(str(alias), read_only=True)) as connection:
            yield connection
    finally:
        alias.unlink()


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with reader(file) as connection:
        return connection.execute(sql).fetchall()


def as_of(ui: Server) -> tuple[str, str]:
    """The night that the published file holds and the run that made it."""
    return rows(ui.published, "select night::varchar, run_id from data_as_of")[0]


def identity(file: Path) -> tuple[int, int, int]:
    """Changes if a file is replaced or written to."""
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def take_turns(ui: Server) -> bool:
    """Whether no run began before the one before it had ended."""
    ran = sorted((run.started, run.ended) for run in ui.runs() if run.started and run.ended)
    return all(ended <= started for (_, ended), (started, _) in itertools.pairwise(ran))


def succeeded(ui: Server, run: Run) -> bool:
    """Whether a run succeeded; fails with what the run says, if it did not."""
    assert run.status == "SUCCESS", ui.problems(run)
    return True


@pytest.fixture(scope="session")
def first_night(ui: Server, browser: Browser) -> Run:
    """Everything materialized for 2026-02-10 by "Materialize all" on the global lineage."""
    with contextlib.closing(browser.new_context(viewport={"width": 1600, "height": 1000})) as window:
        page = window.new_page()
        page.goto(f"{ui.url}/asset-groups")
        before = ui.runs()
        dialog = open_launcher(page, NIGHT)
        assets = len(ui.ask("{ assetNodes { id } }")["assetNodes"])
        expect(dialog).to_contain_text(f"materialize {assets} assets")
        expect(dialog).to_contain_text("1 partition")
        shot(page, "materialize-all")
        launch(dialog)
        (run,) = ui.wait_for_runs(before, 1)
        assert succeeded(ui, run)
        page.goto(f"{ui.url}/asset-groups")
        page.wait_for_timeout(3000)
        shot(page, "lineage-after")
    return run


def test_all_that_is_defined_is_there_and_on(ui: Server, page: Page) -> None:
    page.goto(ui.url)
    go(page, "Deployment")
    location = page.locator("[data-index], tr").filter(has_text="dagster_project.definitions").first
    expect(location.get_by_text("Loaded", exact=True)).to_be_visible()
    shot(page, "code-location")

    go(page, "Lineage")
    for group in [*DOMAINS, "publishing"]:
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    shot(page, "lineage")

    go(page, "Jobs")
    expect(page.get_by_text("land_early", exact=True).first).to_be_visible()
    page.get_by_text("nightly", exact=True).first.click()
    assets = len(ui.ask("{ assetNodes { id } }")["assetNodes"])
    expect(page.get_by_text(f"View {assets} assets")).to_be_visible()
    expect(page.get_by_text("At 12:30 AM UTC")).to_be_visible()
    shot(page, "nightly")

    go(page, "Automation")
    for name in ("nightly_at_0030_utc", "new_files", "alert_on_failure"):
        row = page.locator("[data-index]").filter(has_text=name)
        expect(row.get_by_role("checkbox").last).to_be_checked()
    shot(page, "automation")
    # Off from here on: a night that begins at 00:30 would come between those of these tests.
    nightly = page.locator("[data-index]").filter(has_text="nightly_at_0030_utc").get_by_role("checkbox").last
    nightly.dispatch_event("click")
    expect(nightly).not_to_be_checked()


def test_lineage_leads_from_a_source_to_the_published_file(ui: Server, page: Page) -> None:
    page.goto(f"{ui.url}/assets/source/payments")
    shot(page, "source")
    steps = (
        "staging / stg_payments",
        "intermediate / int_payments_applied",
        "marts / invoices",
        "published / analytics",
    )
    for step in steps:
        page.get_by_role("link", name=step).last.click()
        expect(page).to_have_title(re.compile(re.escape(step.split(" / ")[1])))
    expect(page.get_by_text("The DuckDB file that analysts open")).to_be_visible()
    page.get_by_role("tab", name="Lineage").click()
    expect(page.get_by_text("tenant_usage_daily", exact=True).first).to_be_attached()

    page.goto(f"{ui.url}/assets/marts/invoices?view=lineage&lineageScope=upstream")
    page.get_by_role("button", name="All", exact=True).click()
    for name in ("usage_events", "price_entries", "subscriptions", "plans", "payments"):
        expect(page.get_by_text(name, exact=True).first).to_be_attached()
    for _ in range(3):
        page.get_by_role("button", name="zoom_in").click()
    page.wait_for_timeout(1000)
    shot(page, "lineage-of-invoices")


def test_everything_materialized_from_the_ui(ui: Server, page: Page, first_night: Run) -> None:
    assert as_of(ui) == (NIGHT, first_night.run_id)
    page.goto(f"{ui.url}/runs")
    page.get_by_role("link", name=first_night.run_id[:8]).click()
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(page.get_by_text(f"partition: {NIGHT}").first).to_be_visible()
    page.wait_for_timeout(2000)
    shot(page, "run")

    ((count,),) = rows(ui.published, "select count(*) from customers")
    page.goto(f"{ui.url}/assets/source/customers")
    expect(page.get_by_text(NIGHT).first).to_be_visible()
    expect(page.get_by_text(f"{count:,}", exact=True).first).to_be_visible()
    for column in ("id", "tenant_id", "email", "name", "health_score", "tenant_ref"):
        expect(page.get_by_role("cell", name=column).or_(page.get_by_text(column, exact=True)).first).to_be_visible()
    assert int(shown(page, "rows_read")) == count
    assert int(shown(page, "bytes")) > 0
    assert float(shown(page, "seconds")) > 0
    contract = page.get_by_role("link").filter(has_text="contract").get_attribute("href")
    assert re.search(r"models/domains/customer_intelligence\.yml", contract or "")
    shot(page, "source-landed")

    page.goto(f"{ui.url}/assets/published/analytics")
    expect(page.get_by_text("Warns if more than 25 hours since last materialization")).to_be_visible()
    assert shown(page, "path").startswith(str(ui.published))
    assert shown(page, "night") == NIGHT
    shot(page, "published")


def test_a_failing_check_tells_count_keys_and_sql(ui: Server, page: Page, first_night: Run) -> None:
    page.goto(f"{ui.url}/assets/source/sso_providers")
    page.get_by_role("tab", name="Checks").click()
    page.get_by_text("tenant_id_reference", exact=True).first.click()
    expect(page.get_by_text("refers to no row of tenants.id").first).to_be_visible()
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    shot(page, "check")
    assert shown(page, "rows_checked") == "5"
    assert shown(page, "rows_failed") == "1"
    assert shown(page, "severity") == "warn"
    assert re.search(r"sso_providers\.csv:\d+", shown(page, "sample_keys"))
    # The SQL is what an engineer pastes into `loompin sql`.
    found = rows(ui.published, f"select tenant_ref from ({shown(page, 'sql')})")
    assert found == [("lex_corp",)]


def test_an_asset_and_a_group_at_the_same_time(ui: Server, window: BrowserContext, first_night: Run) -> None:
    published, before = identity(ui.published), ui.runs()
    one, group = window.new_page(), window.new_page()
    one.goto(f"{ui.url}/assets/marts/invoices")
    group.goto(f"{ui.url}/locations/loompin/asset-groups/strategy/lineage")
    # Meanwhile a night of the command line holds the home: the first run waits for it, the second for the first.
    with home_lock(Settings(home=ui.home), "a night of the tests"):
        dialogs = [open_launcher(one, NEXT_NIGHT), open_launcher(group, NEXT_NIGHT)]
        for dialog in dialogs:
            launch(dialog)
        group.goto(f"{ui.url}/runs")
        expect(group.get_by_text("Queued (1)")).to_be_visible()
        expect(group.get_by_text("In progress (1)")).to_be_visible()
        # In the row of the run that waits, where its duration will be.
        expect(group.get_by_text(re.compile(r"^Queued\W+$"))).to_have_count(1)
        shot(group, "two-at-a-time")
    runs = ui.wait_for_runs(before, 2)
    assert len(runs) == 2
    assert all(succeeded(ui, run) for run in runs)
    assert take_turns(ui)
    assert identity(ui.published) == published, "only the published asset publishes"

    warehouse = ui.home / "warehouse.duckdb"
    assert rows(warehouse, "select night::varchar from landing.night") == [(NEXT_NIGHT,)]
    ((invoices,),) = rows(warehouse, "select count(*) from invoices")
    one.goto(f"{ui.url}/assets/marts/invoices")
    expect(one.get_by_text(NEXT_NIGHT, exact=True).first).to_be_visible()
    expect(one.get_by_text(f"{invoices:,}", exact=True).first).to_be_visible()
    shot(one, "mart")


def test_a_month_in_one_run_and_earlier_nights_behind_it(ui: Server, page: Page, first_night: Run) -> None:
    before = ui.runs()
    with reader(ui.published) as analyst:
        page.goto(f"{ui.url}/asset-groups")
        dialog = open_launcher(page, f"[{NEXT_NIGHT}...{MONTH_END}]")
        expect(dialog).to_contain_text("28 partitions")
        launch(dialog)
        ui.wait_for_launch(before)
        dialog = open_launcher(page, f"[{EARLIER[0]}...{EARLIER[1]}]")
        expect(dialog).to_contain_text("2 partitions")
        launch(dialog)
        runs = ui.wait_for_runs(before, 2)
        assert analyst.execute("select night::varchar from data_as_of").fetchone() == (NIGHT,)
    assert len(runs) == 2, "a backfill is one run"
    assert all(succeeded(ui, run) for run in runs)
    assert take_turns(ui)
    month, earlier = runs
    assert (month.nights, earlier.nights) == ((NEXT_NIGHT, MONTH_END), EARLIER)
    assert as_of(ui) == (MONTH_END, month.run_id)

    page.goto(f"{ui.url}/assets/published/analytics")
    assert shown(page, "night") == f"{EARLIER[1]}, recomputed and compared; the file still holds {MONTH_END}"
    # The daemon, which looks every half minute, has seen the first night by now.
    expect(page.get_by_text("Passing", exact=True).first).to_be_visible()
    page.get_by_role("tab", name="Partitions").click()
    expect(page.get_by_text(f"Materialized ({1 + 28 + 2})")).to_be_visible()
    shot(page, "partitions")
    assert ui.backfills_ended() == ["COMPLETED_SUCCESS", "COMPLETED_SUCCESS"]
    page.goto(f"{ui.url}/runs")
    expect(page.get_by_text("28 partitions")).to_be_visible()
    shot(page, "runs")


def test_nothing_ran_into_a_lock(ui: Server, first_night: Run) -> None:
    log = ui.log.read_text(errors="replace")
    assert "Traceback" not in log
    assert not re.search(r"(?i)could not set lock|database is locked|conflicting lock", log)
    assert take_turns(ui)


def test_data_docs_show_suites_and_results(ui: Server, page: Page, first_night: Run) -> None:
    page.goto((ui.home / "docs" / "gx" / "index.html").as_uri())
    expect(page.get_by_role("heading", name=re.compile("^Night")).first).to_have_text(f"Night {as_of(ui)[0]}")
    expect(page.get_by_text(re.compile(r"rules:\s+\d+\s+passed,\s+\d+\s+failed,\s+0\s+broken")).first).to_be_visible()
    shot(page, "data-docs")
    links = {link.strip() for link in page.get_by_role("link").all_inner_texts()}
    assert links >= SOURCES
    page.get_by_role("link", name="sso_providers", exact=True).first.click()
    expect(page.get_by_text("tenant_id_reference").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"1 unexpected values found")).first).to_be_visible()
    shot(page, "data-docs-table")
    page.go_back()
    page.get_by_role("link", name="suite").first.click()
    expect(page.get_by_text("Expectation Suite").or_(page.get_by_text("values must")).first).to_be_visible()


def test_dbt_docs_show_models_and_columns(ui: Server, page: Page, first_night: Run) -> None:
    page.goto((ui.home / "docs" / "dbt" / "index.html").as_uri())
    page.get_by_placeholder("Search for models...").fill("invoices")
    page.locator(".search-result[href$='model.loompin.invoices']").click()
    expect(page.get_by_role("heading", name="invoices table")).to_be_visible()
    expect(page.get_by_text("One row an invoice, that is").last).to_be_visible()
    expect(page.get_by_text("DECIMAL(18,2)").first).to_be_visible()
    # The page tells of the night that is published, whatever earlier night was recomputed since.
    ((count,),) = rows(ui.published, "select count(*) from invoices")
    expect(page.locator("dl.detail").filter(has_text="Rows").locator("dd")).to_have_text(str(count))
    shot(page, "dbt-docs")
