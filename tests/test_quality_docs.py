"""Data Docs: what the pages and GX's own JSON say about rules that passed, failed and broke."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from loompin import quality_docs
from loompin.contracts import load
from loompin.night import Landed
from loompin.quality_docs import NightResults, RuleResult
from loompin.validation import CheckResult, TableLanding

NIGHT = date(2026, 2, 10)
SQL = "select * from quarantine where table_name = 'customers' and rule = 'email_regex' and value <> '$x'"

RESULTS = [
    RuleResult(
        "customers", "email_regex", "customers.email_regex", "regex", "email", "quarantine", "fail", 200, 3,
        {"pattern": r"^.+<b>@.+\..+$"},
        ("a/customers.csv:2 (id=c_1)", "a/<script>alert(1)</script>.csv:7 (id=$c_2)"), SQL, "3 rows: expected text",
    ),
    RuleResult("customers", "id_not_null", "customers.id_not_null", "not_null", "id", "quarantine", "pass", 200, 0),
    RuleResult(
        "customers", "tenant_id_reference", "customers.tenant_id_reference", "reference", "tenant_id", "warn", "fail",
        200, 1, {"to": "tenants.id"}, ("a/customers.csv:9 (id=c_9)",), "select 1",
    ),
    RuleResult(
        "customers", "duplicate_key", "customers.duplicate_key", "key", "id", "block", "pass", 200, 0, {"key": ["id"]}
    ),
    RuleResult(
        "customer_events", "sentiment_score_range", "customer_events.sentiment_score_range", "range",
        "sentiment_score", "quarantine", "pass", 10, 0, {"min": -1, "max": 1},
    ),
    RuleResult(
        "customer_events", "<s>_frob", "customer_events.<s>_frob", "unknown", "<s>", "quarantine", "broken", 0, 0,
        {}, (), "", "broken rule: 'frob' is no <u>rule</u> type of $5",
    ),
    RuleResult(
        "supply_orders", "amount_positive", "supply_orders.amount_positive", "positive", "amount", "warn", "pass", 4, 0
    ),
    RuleResult(
        "supply_orders", "late", "supply_orders.late", "check", "eta", "quarantine", "pass", 4, 0,
        {"expect": "eta >= ordered_on"},
    ),
    RuleResult(
        "product_variants", "sku_unique", "product_variants.sku_unique", "unique", "sku", "quarantine", "pass", 4, 0,
        {"columns": ["tenant_id", "sku"], "scope": "tenant"},
    ),
    RuleResult(
        "product_variants", "price_type", "product_variants.price_type", "type", "price", "quarantine", "pass", 4, 0,
        {"data_type": "decimal(18,2)"},
    ),
    RuleResult(
        "product_variants", "state_accepted_values", "product_variants.state_accepted_values", "accepted_values",
        "state", "quarantine", "pass", 4, 0, {"values": ["on", "off"]},
    ),
]  # fmt: skip


class _Page(HTMLParser):
    """A page as a browser sees it: its text, its tags, and where it points to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.tags, self.links, self._text = path, [], [], []
        self._silent = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._silent = tag in ("script", "style")
        self.links += [value for key, value in attrs if key in ("href", "src") and value]

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._text.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._text).split())


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the night, made the way a night makes them: by a process of its own."""
    folder = tmp_path_factory.mktemp("gx")
    handover = folder.parent / "handover.json"
    process = quality_docs.start(NightResults(NIGHT, RESULTS), handover, folder)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    assert not handover.exists()
    return folder


def _stored(docs: Path, table: str, night: date = NIGHT) -> dict[str, Any]:
    (path,) = (docs / "store" / "results" / table / night.isoformat()).glob("*/*.json")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def _page(docs: Path, table: str, night: date = NIGHT) -> _Page:
    (path,) = (docs / "validations" / table / night.isoformat()).glob("*/*.html")
    return _Page(path)


def test_each_kind_of_rule_is_the_expectation_that_means_the_same(docs: Path) -> None:
    types = {}
    for path in (docs / "store" / "suites").glob("*.json"):
        suite = json.loads(path.read_text(encoding="utf-8"))
        assert suite["name"] == path.stem
        types |= {e["meta"]["rule_id"]: (e["type"], e["kwargs"]) for e in suite["expectations"]}
    assert {rule_id: kind for rule_id, (kind, _) in types.items()} == {
        "customers.email_regex": "expect_column_values_to_match_regex",
        "customers.id_not_null": "expect_column_values_to_not_be_null",
        "customers.tenant_id_reference": "expect_column_values_to_refer_to",
        "customers.duplicate_key": "expect_column_values_to_be_unique",
        "customer_events.sentiment_score_range": "expect_column_values_to_be_between",
        "customer_events.<s>_frob": "expect_table_rows_to_satisfy_rule",
        "supply_orders.amount_positive": "expect_column_values_to_be_between",
        "supply_orders.late": "expect_table_rows_to_satisfy_rule",
        "product_variants.sku_unique": "expect_compound_columns_to_be_unique",
        "product_variants.price_type": "expect_column_values_to_be_of_type",
        "product_variants.state_accepted_values": "expect_column_values_to_be_in_set",
    }
    assert types["customers.email_regex"][1]["regex"] == r"^.+<b>@.+\..+$"
    between = types["customer_events.sentiment_score_range"][1]
    assert (between["min_value"], between["max_value"]) == (-1, 1)
    positive = types["supply_orders.amount_positive"][1]
    assert (positive["min_value"], positive["strict_min"]) == (0, True)
    assert types["product_variants.sku_unique"][1]["column_list"] == ["tenant_id", "sku"]
    assert types["product_variants.state_accepted_values"][1]["value_set"] == ["on", "off"]


def test_severities_keep_their_order(docs: Path) -> None:
    suite = json.loads((docs / "store" / "suites" / "customers.json").read_text(encoding="utf-8"))
    told = {e["meta"]["severity"]: e["severity"] for e in suite["expectations"]}
    assert told == {"warn": "info", "quarantine": "warning", "block": "critical"}


def test_a_result_counts_what_the_pass_found(docs: Path) -> None:
    stored = _stored(docs, "customers")
    assert stored["success"] is False
    assert stored["statistics"] == {
        "evaluated_expectations": 4,
        "successful_expectations": 2,
        "unsuccessful_expectations": 2,
        "success_percent": 50,
    }
    by_rule = {entry["meta"]["rule_id"]: entry for entry in stored["results"]}
    failed = by_rule["customers.email_regex"]
    assert failed["success"] is False
    assert failed["result"] == {
        "element_count": 200, "unexpected_count": 3, "unexpected_percent": 1.5,
        "partial_unexpected_list": list(RESULTS[0].sample), "unexpected_index_query": SQL,
    }  # fmt: skip
    assert by_rule["customers.id_not_null"]["success"] is True
    assert by_rule["customers.id_not_null"]["result"]["unexpected_count"] == 0


def test_a_page_shows_the_count_the_keys_and_the_query(docs: Path) -> None:
    page = _page(docs, "customers")
    assert "3 unexpected values found. 1.5% of 200 total rows." in page.text
    assert "a/customers.csv:2 (id=c_1)" in page.text
    assert SQL in page.text
    assert "values must refer to a row of tenants by its id ." in page.text
    assert "Status Expectation Observed Value Rule Severity" in page.text
    assert "1.5% unexpected email_regex quarantine" in page.text
    assert "tenant_id_reference warn" in page.text


def test_text_that_looks_like_markup_stays_text(docs: Path) -> None:
    page = _page(docs, "customers")
    assert "a/<script>alert(1)</script>.csv:7 (id=$c_2)" in page.text
    assert r"^.+<b>@.+\..+$" in page.text
    assert page.tags.count("script") == 1
    broken = _page(docs, "customer_events")
    assert "'frob' is no <u>rule</u> type of $5" in broken.text
    assert "<s>_frob" in broken.text
    index, suite = _Page(docs / "index.html"), _Page(docs / "expectations" / "customer_events.html")
    assert "<s>_frob: broken" in index.text
    assert "<s>_frob" in suite.text
    assert not {"b", "u", "s"} & {tag for seen in (page, broken, index, suite) for tag in seen.tags}


def test_a_broken_rule_failed_with_the_reason(docs: Path) -> None:
    entry = next(e for e in _stored(docs, "customer_events")["results"] if e["meta"]["status"] == "broken")
    assert entry["success"] is False
    assert entry["exception_info"]["raised_exception"] is True
    assert entry["exception_info"]["exception_message"] == "broken rule: 'frob' is no <u>rule</u> type of $5"
    assert entry["result"] == {}


def test_the_index_leads_to_every_page_and_nothing_leads_outside(docs: Path) -> None:
    index = _Page(docs / "index.html")
    assert "Night 2026-02-10" in index.text
    assert "4 tables, 11 rules: 8 passed, 2 failed, 1 broken" in index.text
    for table in ("customers", "customer_events", "supply_orders", "product_variants"):
        assert f"expectations/{table}.html" in index.links
        assert any(link.startswith(f"validations/{table}/2026-02-10/") for link in index.links)
    pages = [index, *(_Page(path) for path in docs.glob("*/**/*.html"))]
    assert len(pages) == 1 + 2 * 4
    for page in pages:
        assert "http" not in page.path.read_text(encoding="utf-8")
        for link in page.links:
            if not link.startswith("#"):
                assert (page.path.parent / link).resolve().is_file(), (page.path, link)


def test_the_same_results_again_change_nothing_and_import_no_gx(docs: Path, tmp_path: Path) -> None:
    handover = tmp_path / "again.json"
    NightResults(NIGHT, RESULTS).write(handover)
    assert handover.stat().st_mode & 0o077 == 0
    before = {path: path.stat().st_mtime_ns for path in docs.rglob("*") if path.is_file()}
    code = (
        "import sys; from loompin import quality_docs;"
        f"quality_docs.main([{str(handover)!r}, '--docs', {str(docs)!r}]);"
        "sys.exit('great_expectations' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ})
    assert done.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in docs.rglob("*") if path.is_file()} == before


def test_results_that_follow_are_on_the_pages_of_their_tables(tmp_path: Path) -> None:
    later = CheckResult(
        "payments.unknown_invoice", "payments", "invoice_id", "billing", "quarantine", "fail", 7, 1,
        ["p.csv:4 (id=p1)"], "select 1", "1 row: no invoice has its number yet",
        {"expect": "not: no invoice has its number yet"},
    )  # fmt: skip
    first = RuleResult("payments", "duplicate_key", "payments.duplicate_key", "key", "id", "quarantine", "pass", 7, 0)
    found = NightResults(NIGHT, [*RESULTS, first], ("payments", "subscriptions"))
    follow_up = quality_docs.follow_up([later], load())

    def make(told: bytes) -> None:
        process = quality_docs.start(found, tmp_path / "handover.json", tmp_path / "gx")
        _, errors = process.communicate(told, timeout=300)
        assert process.returncode == 0, errors.decode()

    def rules() -> list[str]:
        return [entry["meta"]["rule_id"] for entry in _stored(tmp_path / "gx", "payments")["results"]]

    make(b"")
    assert rules() == ["payments.duplicate_key"], "a night that ended before anything was derived"
    make(follow_up)
    assert rules() == ["payments.duplicate_key", "payments.unknown_invoice"]
    assert "p.csv:4 (id=p1)" in _page(tmp_path / "gx", "payments").text
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "gx").rglob("*") if path.is_file()}
    make(follow_up)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "gx").rglob("*") if path.is_file()} == before


def test_only_the_newest_nights_and_tables_with_rules_are_kept(tmp_path: Path) -> None:
    nights = [NIGHT + timedelta(days=days) for days in range(4)]
    for night in nights[:3]:
        quality_docs.build(NightResults(night, RESULTS), tmp_path, keep=2)
    less = [result for result in RESULTS if result.table != "supply_orders"]
    quality_docs.build(NightResults(nights[3], less), tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.glob("validations/customers/*")) == ["2026-02-12", "2026-02-13"]
    assert sorted(path.name for path in tmp_path.glob("store/results/supply_orders/*")) == ["2026-02-12"]
    assert not (tmp_path / "expectations" / "supply_orders.html").exists()
    text = _Page(tmp_path / "index.html").text
    assert "Night 2026-02-13" in text
    assert "Night 2026-02-11" not in text
    assert text.index("2026-02-13") < text.index("2026-02-12")


def test_a_name_from_data_never_becomes_a_path(tmp_path: Path) -> None:
    odd = RuleResult("../../x", "a_regex", "../../x.a_regex", "regex", "a", "warn", "broken", 0, 0)
    quality_docs.build(NightResults(NIGHT, [odd]), tmp_path / "docs" / "gx")
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["gx"]


def test_results_survive_the_handover(tmp_path: Path) -> None:
    handed = NightResults(NIGHT, RESULTS)
    handed.write(tmp_path / "results.json")
    assert NightResults.read(tmp_path / "results.json") == handed


def test_checks_of_a_night_become_results_of_their_tables() -> None:
    checks = [
        CheckResult(
            "customers.id_not_null", "customers", "id", "not_null", "quarantine", "fail", 5, 1, ["c.csv:2"], "q", "m"
        ),
        CheckResult("users.email_type", "users", "email", "type", "warn", "pass", 5, 0, [], "", ""),
        CheckResult("../x.a_regex", "../x", "a", "regex", "quarantine", "broken", 0, 0, [], "", "no table"),
    ]
    landed = Landed(NIGHT, [
        TableLanding("customers", "d", 4, 1, 0.1, [], checks[:1], [], []),
        TableLanding("users", "d", 4, 1, 0.1, [], checks[1:2], [], []),
        TableLanding("validation_rules", "d", 4, 1, 0.1, [], checks[2:], [], []),
    ])  # fmt: skip
    found = NightResults.of(landed, load())
    assert found.night == NIGHT
    assert found.results[0] == RuleResult(
        "customers", "id_not_null", "customers.id_not_null", "not_null", "id", "quarantine", "fail", 5, 1, {},
        ("c.csv:2",), "q", "m",
    )  # fmt: skip
    assert found.results[1].params == {"data_type": "varchar"}
    # A rule on an entity that is no table belongs to the rules' own page: its name must not become a path.
    assert (found.results[2].table, found.results[2].rule) == ("validation_rules", "../x.a_regex")
