"""Suites, validation results and Data Docs of Great Expectations, made from what our own pass found.

GX owns suites, severities, results and Data Docs; it evaluates nothing (it has no DuckDB backend). One suite a table,
one result a table and night. Everything lands in one folder, `<home>/docs/gx`:

    index.html                                        the nights that are kept, and each table of the newest one
    expectations/<table>.html                         the suite of a table
    validations/<table>/<night>/<time>/<table>.html   what a night found
    store/suites/<table>.json, store/results/...      the same as GX's own JSON

GX takes seconds to import, so the night runs this module in its own process beside dbt (`start`, or
`python -m loompin.quality_docs FILE`); nothing here imports GX before it is needed. What a page may show was decided
before it came here: `sample` holds file, line and pseudonymised keys.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import hashlib
import html
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from loompin import telemetry

if TYPE_CHECKING:
    from loompin.contracts import Contracts
    from loompin.night import Landed
    from loompin.validation import CheckResult

TEMPLATES = Path(__file__).resolve().parent / "data_docs"
KEEP_NIGHTS = 7
NAMESPACE = uuid.UUID("8f0c3f5a-6a0e-5d0b-9a51-3b6f6d1c2e77")
_FORMAT = 2


@dataclass(frozen=True)
class RuleResult:
    """One rule of one table and what a night found.

    Attributes:
        table: the contract's table; it names the suite.
        rule: the rule's name within its table (`email_regex`); `rule_id` is `<table>.<rule>`.
        rule_type: a kind of `loompin.rules`, or `files`.
        params: of a regex `pattern`; of a range `min`, `max`; of unique `columns`; of a key `key`; of a reference `to`
            (`table.column`); of accepted_values `values`; of a type `data_type`; of a check `expect`.
        status: `broken` is a rule that could not run; `message` says why.
        sample: `file:line key` of some offending rows, keys pseudonymised where they are personal.
        sql: finds all offending rows.
    """

    table: str
    rule: str
    rule_id: str
    rule_type: str
    column: str | None
    severity: Literal["warn", "quarantine", "block"]
    status: Literal["pass", "fail", "broken"]
    rows_checked: int
    rows_failed: int
    params: Mapping[str, Any] = field(default_factory=dict)
    sample: Sequence[str] = ()
    sql: str = ""
    message: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RuleResult:
        """The result that `to_json` wrote.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**{**data, "sample": tuple(data.get("sample", ()))})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; dates and decimals in `params` become text."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return plain


@dataclass(frozen=True)
class NightResults:
    """What a night found, as it is handed to the process that makes the pages.

    `awaited` are tables of which more results follow, once the models are derived: their pages are made last.
    """

    night: date
    results: Sequence[RuleResult]
    awaited: Sequence[str] = ()

    @classmethod
    def of(cls, landed: Landed, contracts: Contracts, awaited: Iterable[str] = ()) -> NightResults:
        """The checks of a night that was landed and validated."""
        return cls(
            landed.night,
            [_of_check(check, table.table, contracts) for table in landed.tables for check in table.checks],
            tuple(sorted(awaited)),
        )

    @classmethod
    def read(cls, path: Path) -> NightResults:
        """Read what `write` wrote."""
        data = json.loads(path.read_text(encoding="utf-8"))
        results = [RuleResult.from_json(item) for item in data["results"]]
        return cls(date.fromisoformat(data["night"]), results, tuple(data["awaited"]))

    def write(self, path: Path) -> None:
        """Write as JSON, readable by the owner only."""
        data = {
            "night": self.night.isoformat(), "results": [result.to_json() for result in self.results],
            "awaited": list(self.awaited),
        }  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(data, file)


def _of_check(check: CheckResult, table: str, contracts: Contracts) -> RuleResult:
    params = dict(check.params)
    if check.kind == "type" and check.column:
        params["data_type"] = contracts.tables[table].by_name[check.column].data_type
    return RuleResult(
        # A rule on an entity that is no table is told of where the rules themselves stand; its id is all it has.
        table=table, rule=check.rule_id.removeprefix(f"{table}."), rule_id=check.rule_id, rule_type=check.kind,
        column=check.column, severity=check.severity, status=check.status, rows_checked=check.rows_checked,
        rows_failed=check.rows_failed, params=params, sample=tuple(check.sample_keys), sql=check.sql,
        message=check.message,
    )  # fmt: skip


def follow_up(checks: Iterable[CheckResult], contracts: Contracts) -> bytes:
    """Results that were awaited, as the process that makes the pages reads them from its standard input."""
    return json.dumps([_of_check(check, check.table, contracts).to_json() for check in checks]).encode()


def start(found: NightResults, handover: Path, docs: Path, keep: int = KEEP_NIGHTS) -> subprocess.Popen[bytes]:
    """Start making the pages in a process of its own; the caller waits for it (exit status 0, or errors on stderr).

    If results are awaited, the process ends once its standard input does: with what `follow_up` makes, or nothing.

    Args:
        handover: the file in which the results are handed over; the process removes it.
        docs: the folder of the pages.
    """
    found.write(handover)
    command = [sys.executable, "-m", __name__ if __name__ != "__main__" else "loompin.quality_docs"]
    return subprocess.Popen(
        [*command, str(handover), "--docs", str(docs), "--keep", str(keep), "--remove"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def build(
    found: NightResults,
    docs: Path,
    keep: int = KEEP_NIGHTS,
    more: Callable[[], Sequence[RuleResult]] = tuple,
) -> Path:
    """Make the suites, results and pages of a night and drop nights beyond the newest `keep`.

    The same results again change nothing and do not import GX. Pages appear before the index that links to them.

    Args:
        found: what the night found.
        docs: the folder of the pages.
        keep: how many nights to keep.
        more: waits for the results that `found` says are awaited; asked once, after the pages of all other tables.

    Returns:
        The index page.
    """
    docs.mkdir(parents=True, exist_ok=True)
    index = docs / "index.html"
    mark = docs / "store" / "built" / f"{found.night.isoformat()}.txt"
    digest = _digest(found)
    known = mark.read_text(encoding="utf-8").split() if index.exists() and mark.exists() else []
    later: Sequence[RuleResult] | None = None
    if known[:1] == [digest]:
        later = more()
        if known == [digest, _digest(NightResults(found.night, later))]:
            return index
    by_table: dict[str, list[RuleResult]] = defaultdict(list)
    for result in found.results:
        by_table[_file_name(result.table)].append(result)
    pages = _Pages(docs, found.night)
    awaited = {_file_name(table) for table in found.awaited}
    for table in sorted(by_table.keys() - awaited):
        pages.write_suite(table, by_table[table])
        pages.write_result(table, by_table[table])
    later = more() if later is None else later
    for result in later:
        by_table[_file_name(result.table)].append(result)
    for table in sorted(by_table.keys() & awaited):
        pages.write_suite(table, by_table[table])
        pages.write_result(table, by_table[table])
    digest = f"{digest} {_digest(NightResults(found.night, later))}"
    _write(docs / "static" / "data_docs.css", (TEMPLATES / "data_docs.css").read_text(encoding="utf-8"))
    _forget(docs, sorted(by_table), keep)
    pages.write_index(index)
    _write(mark, digest)
    return index


def _file_name(table: str) -> str:
    """A table's name becomes the name of files; one from data must not become a path."""
    return re.sub(r"\W", "_", table)


class _Pages:
    """The pages of one night. Made once for all tables: GX's renderers and the page's template are costly to set up."""

    def __init__(self, docs: Path, night: date) -> None:
        from great_expectations import __version__ as version
        from great_expectations.core.expectation_suite import ExpectationSuite
        from great_expectations.core.expectation_validation_result import (
            ExpectationSuiteValidationResult,
            ExpectationValidationResult,
        )
        from great_expectations.core.run_identifier import RunIdentifier
        from great_expectations.render.renderer.page_renderer import (
            ExpectationSuitePageRenderer,
            ValidationResultsPageRenderer,
        )

        from loompin import gx_types

        self._suite, self._suite_result, self._result = (
            ExpectationSuite, ExpectationSuiteValidationResult, ExpectationValidationResult,
        )  # fmt: skip
        self._expectation = gx_types.expectation
        self._view = gx_types.PageView()
        self._suite_page, self._result_page = (
            ExpectationSuitePageRenderer(),
            ValidationResultsPageRenderer(column_section_renderer=gx_types.RESULT_SECTIONS),
        )
        self._docs, self._version = docs, version
        # The moment that the night stands for: its end. A repeat writes the same names again.
        self._run = RunIdentifier(night.isoformat(), datetime.combine(night + timedelta(days=1), time(), tzinfo=UTC))

    def write_suite(self, table: str, results: Sequence[RuleResult]) -> None:
        """Write the suite of a table, as a page and as GX's JSON, unless the one that stands there is the same."""
        stored = self._docs / "store" / "suites" / f"{table}.json"
        page = self._docs / "expectations" / f"{table}.html"
        suite = self._suite_of(table, results)
        text = _json(suite.to_json_dict())
        if page.exists() and stored.exists() and stored.read_text(encoding="utf-8") == text:
            return
        _write(page, self._page(self._suite_page.render(suite), depth=1))
        _write(stored, text)

    def write_result(self, table: str, results: Sequence[RuleResult]) -> None:
        """Write what the night found in one table, as a page and as GX's JSON."""
        suite = self._suite_of(table, results)
        place = Path(table, *self._run.to_tuple())
        stored = self._validation(suite, results, shown=False).to_json_dict()
        _write(self._docs / "store" / "results" / place / f"{table}.json", _json(stored))
        shown = self._result_page.render(self._validation(suite, results, shown=True))
        _write(self._docs / "validations" / place / f"{table}.html", self._page(shown, depth=4))

    def _suite_of(self, table: str, results: Sequence[RuleResult]) -> Any:
        suite = self._suite(name=table, id=str(uuid.uuid5(NAMESPACE, table)))
        suite.expectations = [self._expectation(result) for result in results]
        return suite

    def write_index(self, index: Path) -> None:
        """Write the first page from the stored results of all nights that are kept."""
        nights: dict[str, list[dict[str, Any]]] = defaultdict(list)
        results = self._docs / "store" / "results"
        for path in sorted(results.glob("*/*/*/*.json")):
            stored = json.loads(path.read_text(encoding="utf-8"))
            failed = [entry for entry in stored["results"] if not entry["success"]]
            nights[path.parent.parent.name].append({
                "table": path.stem,
                "page": f"validations/{path.relative_to(results).with_suffix('.html').as_posix()}",
                "suite": f"expectations/{path.stem}.html",
                "rules": len(stored["results"]),
                "passed": len(stored["results"]) - len(failed),
                "failed": sum(entry["meta"]["status"] == "fail" for entry in failed),
                "broken": sum(entry["meta"]["status"] == "broken" for entry in failed),
                "rows": sum(entry["result"].get("unexpected_count", 0) for entry in failed),
                "failing": [
                    {**entry["meta"], "rows": entry["result"].get("unexpected_count", 0)} for entry in failed
                ],
            })  # fmt: skip
        newest_first = sorted(nights.items(), reverse=True)
        _write(index, self._view.env.get_template("index.j2").render(nights=newest_first))

    def _page(self, document: Any, depth: int) -> str:
        page: str = self._view.render(document, root="../" * depth)
        return page

    def _validation(self, suite: Any, results: Sequence[RuleResult], *, shown: bool) -> Any:
        pairs = zip(suite.expectations, results, strict=True)
        evaluated = [self._one(expectation, result, shown=shown) for expectation, result in pairs]
        passed = sum(result.status == "pass" for result in results)
        return self._suite_result(
            success=passed == len(results),
            results=evaluated,
            suite_name=suite.name,
            statistics={
                "evaluated_expectations": len(results),
                "successful_expectations": passed,
                "unsuccessful_expectations": len(results) - passed,
                "success_percent": 100.0 * passed / len(results),
            },
            meta={
                "great_expectations_version": self._version,
                "run_id": self._run,
                "batch_spec": {"data_asset_name": suite.name},
                "active_batch_definition": {"datasource_name": "warehouse", "data_asset_name": suite.name},
            },
            id=str(uuid.uuid5(NAMESPACE, f"{suite.name}/{self._run.run_name}")),
        )

    def _one(self, expectation: Any, result: RuleResult, *, shown: bool) -> Any:
        # GX puts samples into its pages as they are, so those that go into a page are escaped here.
        text = html.escape if shown else str
        details: dict[str, Any] = {}
        raised: dict[str, Any] = {"raised_exception": False, "exception_traceback": None, "exception_message": None}
        if result.status == "broken":
            why = result.message or "the rule could not run"
            raised = {"raised_exception": True, "exception_traceback": why, "exception_message": why}
        else:
            percent = 100.0 * result.rows_failed / result.rows_checked if result.rows_checked else 0.0
            details = {
                "element_count": result.rows_checked,
                "unexpected_count": result.rows_failed,
                "unexpected_percent": min(percent, 100.0),
                "partial_unexpected_list": [text(sample) for sample in result.sample],
            }
            if result.rows_failed and result.sql:
                details["unexpected_index_query"] = result.sql
        return self._result(
            success=result.status == "pass",
            expectation_config=expectation.configuration,
            result=details,
            exception_info=raised,
            meta={
                "rule_id": result.rule_id, "rule": result.rule, "severity": result.severity, "status": result.status,
                "message": result.message,
            },
        )  # fmt: skip


def _digest(found: NightResults) -> str:
    """Tells whether the same pages would be made: the results, this code and the templates."""
    digest = hashlib.sha256(f"{_FORMAT} {sys.version_info[:2]}".encode())
    for path in (Path(__file__), Path(__file__).with_name("gx_types.py"), *sorted(TEMPLATES.iterdir())):
        digest.update(path.read_bytes())
    digest.update(json.dumps([result.to_json() for result in found.results], sort_keys=True).encode())
    return digest.hexdigest()


def _forget(docs: Path, tables: Iterable[str], keep: int) -> None:
    """Drop the nights beyond the newest `keep`, and the suites of tables that have no rule any more."""
    store = docs / "store" / "results"
    nights = sorted({path.name for path in store.glob("*/*")}, reverse=True)
    for night in nights[keep:]:
        for folder in (*store.glob(f"*/{night}"), *(docs / "validations").glob(f"*/{night}")):
            shutil.rmtree(folder)
        (docs / "store" / "built" / f"{night}.txt").unlink(missing_ok=True)
    known = set(tables)
    for path in (*(docs / "store" / "suites").glob("*.json"), *(docs / "expectations").glob("*.html")):
        if path.stem not in known:
            path.unlink()


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, sort_keys=True)


def _write(path: Path, text: str) -> None:
    """Replace a file at once, so that somebody who reads the pages meets no half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


class _Deferred(importlib.abc.MetaPathFinder):
    """Puts off the import of packages that GX names for statistics and charts, and that rules and pages never use."""

    names = frozenset({"altair", "scipy", "scipy.stats"})

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The ordinary spec of one of the packages, with a loader that runs it at the first use."""
        if fullname not in self.names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def _import_less() -> None:
    """Make the import of GX a third as long. For a process that does nothing else than make pages."""
    sys.meta_path.insert(0, _Deferred())
    for optional in ("sqlalchemy", "pyarrow"):  # GX and pandas do without them
        sys.modules.setdefault(optional, None)  # type: ignore[arg-type]
    # Imports make millions of objects, all of which stay: collecting among them found nothing and took a second.
    gc.disable()


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pages of the results in a JSON file. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loompin.quality_docs", description="Make Data Docs of a night.")
    parser.add_argument("results", type=Path, help="JSON file written by NightResults.write")
    parser.add_argument("--docs", type=Path, required=True, help="folder of the pages")
    parser.add_argument("--keep", type=int, default=KEEP_NIGHTS, help="how many nights to keep")
    parser.add_argument("--remove", action="store_true", help="remove the JSON file once it is read")
    options = parser.parse_args(arguments)
    found = NightResults.read(options.results)
    if options.remove:
        options.results.unlink()
    build(found, options.docs, options.keep, _from_input if found.awaited else list)
    return 0


def _from_input() -> list[RuleResult]:
    """The results that follow, from standard input; none if it ends without any."""
    text = sys.stdin.buffer.read()
    return [RuleResult.from_json(item) for item in json.loads(text)] if text else []


if __name__ == "__main__":
    telemetry.disable()
    _import_less()
    sys.exit(main())
