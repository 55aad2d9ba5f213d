"""Billing in Dagster: what it refuses is a check on the table it came from; a law that is broken ends the night.

Both on a real instance, going on from the home in which a night ran. What the rules and laws are is tested elsewhere.
"""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from test_dagster import evaluated, run_in

from dagster_project import manifest, models, night_run
from loompin import refusals
from loompin.settings import Settings
from tests.conftest import REPO, copy_home

REFUSED = date(2026, 2, 11)
BROKEN = date(2026, 2, 12)
PAYMENTS = """id,invoice_id,amount,currency,paid_at
pay_refused_1,INV-24-999,10.00,USD,2026-02-11T09:00:00Z
pay_refused_2,INV-24-998,11.00,USD,2026-02-11T09:00:00Z
"""


@pytest.fixture(scope="module")
def home(night_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the home in which a night ran, with two payments that name no invoice."""
    folder = tmp_path_factory.mktemp("billing")
    shutil.copytree(REPO / "seeds", folder / "source", ignore=shutil.ignore_patterns("*.py"))
    (folder / "source" / "supply_chain" / "payments").mkdir()
    (folder / "source" / "supply_chain" / "payments" / "late.csv").write_text(PAYMENTS, encoding="utf-8")
    return Settings(home=copy_home(night_home, folder / "home"), source=folder / "source")


@pytest.fixture(scope="module")
def checks(home: Settings) -> dict[str, Any]:
    """The evaluations of a whole night in that home."""
    run, events = run_in(home, job="nightly", nights=(REFUSED, REFUSED))
    assert run.is_success, [entry.message for entry in events if entry.level >= 40]
    return evaluated(events)


def told(data: Any) -> dict[str, Any]:
    return {key: value.value for key, value in data.metadata.items()}


def test_each_refusal_of_billing_is_a_check_on_its_source_table(checks: dict[str, Any], home: Settings) -> None:
    names = {f"source/{rule.table}:{rule.rule}": rule for rule in refusals.rules()}
    assert names.keys() <= checks.keys()
    with duckdb.connect(str(home.published), read_only=True) as connection:
        counted = dict(connection.execute("select rule_id, rows_failed from data_quality").fetchall())
    for name, rule in names.items():
        assert told(checks[name])["rows_failed"] == counted[rule.rule_id], name
        assert checks[name].passed == (counted[rule.rule_id] == 0), name


def test_a_refusal_shows_count_sample_severity_and_sql(checks: dict[str, Any], home: Settings) -> None:
    found = checks["source/payments:unknown_invoice"]
    metadata = told(found)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (metadata["severity"], metadata["status"], metadata["rows_failed"]) == ("quarantine", "fail", 2)
    assert metadata["sample_keys"] == (
        "supply_chain/payments/late.csv:2 (id=pay_refused_1); supply_chain/payments/late.csv:3 (id=pay_refused_2)"
    )
    with duckdb.connect(str(home.published), read_only=True) as connection:
        assert len(connection.execute(metadata["sql"]).fetchall()) == 2


def test_refusals_are_in_data_docs(checks: dict[str, Any], home: Settings) -> None:
    assert checks, "the night ran"
    suite = json.loads((home.docs / "gx" / "store" / "suites" / "payments.json").read_text(encoding="utf-8"))
    rules = {expectation["meta"]["rule_id"] for expectation in suite["expectations"]}
    assert {rule.rule_id for rule in refusals.rules() if rule.table == "payments"} <= rules
    (page,) = (home.docs / "gx" / "validations" / "payments" / REFUSED.isoformat()).glob("*/payments.html")
    assert "late.csv:2" in page.read_text(encoding="utf-8")
    assert "unknown_invoice: 2 (quarantine)" in (home.docs / "gx" / "index.html").read_text(encoding="utf-8")


def test_the_laws_are_blocking_checks_on_the_certificate(home: Settings) -> None:
    derived = models.read(manifest.load(home))
    laws = [
        check for unique_id, check in derived.checks.items()
        if derived.manifest["nodes"][unique_id]["original_file_path"].startswith("tests/billing/")
    ]  # fmt: skip
    assert len(laws) == len(list((REPO / "dbt_project" / "tests" / "billing").glob("*.sql")))
    for law in laws:
        assert law.asset_key.path == ["marts", "billing_certificate"], law.name
        assert law.blocking, law.name
        assert (law.description or "").startswith("Law"), law.name
        assert "{{" not in (law.description or ""), law.name


def test_a_broken_law_ends_the_night_and_names_what_broke_it(checks: dict[str, Any], home: Settings) -> None:
    assert checks, "the night before ran"
    kept = home.raw / "nights" / "2026-02-10.finals.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table finals as from '{kept}'")
        connection.execute("update finals set content_hash = 'another' where id = 'INV-24-002'")
        connection.execute(f"copy finals to '{kept}' (format parquet)")
    published = home.published.read_bytes()
    watch = night_run.Watch()
    run, events = run_in(home, job="nightly", nights=(BROKEN, BROKEN), watch=watch)
    assert run.is_failure
    assert home.published.read_bytes() == published
    law = evaluated(events)["marts/billing_certificate:assert_final_invoices_never_change"]
    assert (law.passed, law.severity, law.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    (problem,) = watch.problems
    assert "assert_final_invoices_never_change" in problem
    assert "Broken by INV-24-002." in problem
