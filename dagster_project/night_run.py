"""What the steps of one run share: the home's lock, the plan of the night, what was landed and derived.

A run holds the home's lock from its first step to its last, so that two runs never meet in one warehouse, whether they
were started by the UI, the schedule or the command line. What a step emits is in `source_assets`, `model_assets` and
`publishing_assets`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

import dagster as dg
import duckdb

from dagster_project import manifest
from dagster_project.dbt_process import DbtProcess, NodeResult, Outcome
from loompin import contracts, dbt_docs, invoice_pdfs, metrics, quality_docs, reading, refusals
from loompin import night as nights
from loompin.lock import home_lock
from loompin.night import Landed, NightPlan
from loompin.publish import Published
from loompin.rules import read_expectations
from loompin.settings import EXPECTATIONS, PROJECT_ROOT, Settings
from loompin.validation import CheckResult

RESOURCE = "night_run"
WAIT_SECONDS = 4 * 3600.0
"""How long a run waits for another one in the same home; `dagster.yaml` ends a run that takes six hours."""

_PAGES_SECONDS = 120.0


class PagesFailed(Exception):
    """Pages could not be made; those of the night before stand."""


class Log(Protocol):
    """The part of Dagster's log that is used here."""

    def info(self, msg: object) -> None: ...  # noqa: D102
    def warning(self, msg: object) -> None: ...  # noqa: D102


@dataclass
class Watch:
    """What the starter of a run sees of it: progress while it goes, its findings afterwards.

    `progress` is called with the stage (land, derive, publish, invoices, docs), what is done now, and how far it is
    (done, total; zeros where that is not known). `without_pdf` says which invoices have no PDF, and why.
    """

    progress: Callable[[str, str, int, int], None] = lambda *_told: None
    plan: NightPlan | None = None
    landed: Landed | None = None
    published: Published | None = None
    models_built: int = 0
    tests_passed: int = 0
    unchanged: bool = False
    without_pdf: str = ""
    problems: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and say that it begins."""
        started = time.perf_counter()
        self.progress(name, "", 0, 0)
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


class NightRun:
    """One run's work on a night. Made with the home's lock held; `close` ends every process that it started."""

    def __init__(self, settings: Settings, run_id: str, watch: Watch | None = None) -> None:
        self.settings, self.run_id = settings, run_id
        self.watch = watch or Watch()
        self._docs: subprocess.Popen[bytes] | None = None
        self._dbt: DbtProcess | None = None
        self._deriving = False
        self._landed: Landed | None = None
        self._refusals: list[CheckResult] | None = None

    @property
    def is_deriving(self) -> bool:
        """Whether dbt has begun, so that nobody else can open the warehouse."""
        return self._deriving

    @functools.cached_property
    def made_by(self) -> str:
        """What decides how files become tables, as it stood when it was first asked for."""
        return made_by()

    def plan(self, night: date | None) -> NightPlan:
        """The plan of a night; of the night that the warehouse holds, else the last one that ended, if none is given.

        Raises:
            dagster.Failure: the night has not ended.
        """
        if self.watch.plan is None or (night is not None and self.watch.plan.night != night):
            if night is None:
                held = nights.landed_before(self.settings.warehouse)
                night = held.night if held else nights.yesterday()
            with told():
                self.watch.plan = nights.plan(self.settings, night)
        return self.watch.plan

    def land(self, plan: NightPlan, log: Log, again: bool = True) -> Landed:
        """Land the night into the warehouse, once a run.

        Args:
            again: land even if the warehouse holds this night, as files may have come since. A completed night is never
                landed again while neither its code nor its rules changed: nothing could come out differently.
        """
        if self._landed is not None:
            return self._landed
        held = nights.landed_before(plan.warehouse)
        if held is not None and held.night == plan.night and (not again or self.stands(plan)):
            log.info(f"the warehouse holds the night {plan.night}")
            self._landed = held
        else:
            if plan.mode == "earlier":
                log.info(
                    f"{plan.night} is earlier than the last completed night, {plan.last_completed}: it is recomputed"
                    " from the record and compared; nothing is published"
                )
            with self.watch.stage("land"), told():
                self._landed = nights.land(self.settings, plan, lambda what: self.watch.progress("land", what, 0, 0))
        self.watch.landed = self._landed
        return self._landed

    def stands(self, plan: NightPlan) -> bool:
        """Whether this night is published and complete, and made by the code, models and rules that stand now."""
        return nights.is_complete(self.settings, plan) and self.derived_before(plan) is not None

    @staticmethod
    def wants_all(context: dg.AssetExecutionContext, assets: Collection[dg.AssetKey]) -> bool:
        """Whether this run is to materialize all of these assets."""
        selected = context.run.asset_selection
        return selected is None or set(assets) <= selected

    @staticmethod
    def wants(context: dg.AssetExecutionContext, assets: Collection[dg.AssetKey]) -> bool:
        """Whether this run is to materialize any of these assets."""
        selected = context.run.asset_selection
        return selected is None or not selected.isdisjoint(assets)

    def warm_dbt(self, plan: NightPlan) -> None:
        """Let dbt load in a process of its own, while something else is done."""
        if self._dbt is None:
            target = self.settings.dbt_target.parent / "earlier" if plan.mode == "earlier" else None
            self._dbt = DbtProcess(self.settings, plan.warehouse, target)

    def begin_derive(self, plan: NightPlan, select: Sequence[str] = ()) -> None:
        """Let dbt begin with what `derive` is going to be called for; nobody else can open the warehouse any more."""
        self.warm_dbt(plan)
        _ = self.made_by  # before dbt reads the files, not after
        arguments = ["build", "--exclude-resource-type", "unit_test"]
        if select:
            # A test that reads a model outside of the selection would read another night's.
            arguments += ["--select", *select, "--indirect-selection", "cautious"]
        assert self._dbt is not None
        self._dbt.start(arguments)
        self._deriving = True

    def derive(self, plan: NightPlan, select: Sequence[str] = ()) -> Outcome:
        """Build and test the models of the warehouse: all, or those selected with everything that they are made from.

        Args:
            select: dbt's selection, such as `["+invoices"]`.
        """
        if not self._deriving:
            self.begin_derive(plan, select)
        assert self._dbt is not None
        process, self._dbt, self._deriving = self._dbt, None, False
        with self.watch.stage("derive"):
            outcome = process.finish(lambda what, done, total: self.watch.progress("derive", what, done, total))
        if not select and outcome.status == 0:
            self._remember(plan, outcome)
        judged = next((result for node, result in outcome.results.items() if node.endswith(f".{refusals.MODEL}")), None)
        if judged is not None and judged.succeeded:
            self._refusals = self._read_refusals(plan)
        return outcome

    def refusals(self, plan: NightPlan) -> list[CheckResult] | None:
        """What the rules of billing found; None while dbt has not judged the night's rows."""
        if self._refusals is None and self.derived_before(plan) is not None:
            self._refusals = self._read_refusals(plan)
        return self._refusals

    @staticmethod
    def _read_refusals(plan: NightPlan) -> list[CheckResult]:
        with contextlib.closing(duckdb.connect(str(plan.warehouse), read_only=True)) as connection:
            return refusals.results(connection, contracts.load(), read_expectations())

    def derived_before(self, plan: NightPlan) -> Outcome | None:
        """How dbt built and tested every model for this night, as landed last and by the code that stands, or None."""
        try:
            with contextlib.closing(duckdb.connect(str(plan.warehouse), read_only=True)) as connection:
                row = connection.execute("select night, made_by, results from landing.derived").fetchone()
        except (duckdb.CatalogException, duckdb.IOException):
            return None
        if row is None or row[:2] != (plan.night, self.made_by):
            return None
        return Outcome(0, {unique_id: NodeResult(**result) for unique_id, result in json.loads(row[2]).items()})

    def _remember(self, plan: NightPlan, outcome: Outcome) -> None:
        results = json.dumps({unique_id: asdict(result) for unique_id, result in outcome.results.items()})
        # In the schema that landing makes anew: landing again takes it away.
        with contextlib.closing(duckdb.connect(str(plan.warehouse))) as connection:
            connection.execute("create or replace table landing.derived (night date, made_by varchar, results varchar)")
            connection.execute("insert into landing.derived values (?, ?, ?)", [plan.night, self.made_by, results])

    def publish(self, plan: NightPlan) -> Published:
        """Publish a new night; compare any other with what was published for it.

        Raises:
            loompin.night.NightError: it may not be published, or it differs.
        """
        self.refusals(plan)  # a warehouse that was made only to compare is gone afterwards
        self.watch.published = nights.publish(self.settings, plan, self.run_id)
        if plan.mode != "earlier":
            metrics.publish(self.settings, manifest.semantic(self.settings))
        return self.watch.published

    def write_invoices(self) -> invoice_pdfs.Made:
        """Make the PDFs of the published invoices that have none.

        Raises:
            loompin.invoice_pdfs.PdfsFailed: some could not be made; the others are there.
            loompin.reading.NothingPublished: no night has been published in this home.
        """
        with self.watch.stage("invoices"):
            try:
                return invoice_pdfs.make(
                    self.settings, lambda what, done, total: self.watch.progress("invoices", what, done, total)
                )
            except invoice_pdfs.PdfsFailed as error:
                self.watch.without_pdf = str(error)
                raise

    def start_quality_docs(self, landed: Landed) -> None:
        """Begin to make Data Docs of what landing found, in a process of its own."""
        if self._docs is None:
            handover = self.settings.scratch / f"data-docs-{os.getpid()}.json"
            awaited = {rule.table for rule in refusals.rules()}
            found = quality_docs.NightResults.of(landed, contracts.load(), awaited)
            self._docs = quality_docs.start(found, handover, self.settings.docs / "gx")

    def quality_docs(self, landed: Landed) -> Path:
        """Data Docs of the night, waited for: the path of the first page.

        Raises:
            PagesFailed: they could not be made; the message holds the reason.
        """
        self.start_quality_docs(landed)
        assert self._docs is not None
        _, errors = self._docs.communicate(quality_docs.follow_up(self._refusals or [], contracts.load()))
        if self._docs.returncode != 0:
            raise PagesFailed("Data Docs could not be made:\n" + errors.decode(errors="replace")[-4000:])
        return self.settings.docs / "gx" / "index.html"

    def dbt_docs(self, plan: NightPlan) -> Path:
        """dbt's page, made of the manifest and what the warehouse holds: its path.

        Raises:
            PagesFailed: it could not be made; the message holds the reason.
        """
        page = self.settings.docs / "dbt" / "index.html"
        if plan.mode == "earlier" and page.exists():
            # The page tells of the night that is published.
            return page
        try:
            return dbt_docs.build(manifest.prepare(self.settings), plan.warehouse, page)
        except (dbt_docs.DocsError, manifest.ManifestError, duckdb.Error, OSError) as error:
            raise PagesFailed(str(error)) from error

    def close(self) -> None:
        """End what still runs and remove a warehouse that was made only to compare."""
        if self._dbt is not None:
            self._dbt.close()
        if self._docs is not None and self._docs.poll() is None:
            # A night that failed is the one whose pages are looked at, so they are let finish.
            try:
                self._docs.communicate(timeout=_PAGES_SECONDS)
            except subprocess.TimeoutExpired:
                self._docs.kill()
                self._docs.communicate()
        if self.watch.plan is not None and self.watch.plan.mode == "earlier":
            self.watch.plan.warehouse.unlink(missing_ok=True)


def resource(
    settings: Settings, watch: Watch | None = None, wait_seconds: float = WAIT_SECONDS
) -> dg.ResourceDefinition:
    """The resource that gives every step of a run the same `NightRun`, with the home's lock held all the while."""

    def make(init: dg.InitResourceContext) -> Iterator[NightRun]:
        log = init.log or logging.getLogger(__name__)
        settings.prepare()
        run = init.run
        purpose = f"Dagster run {run.run_id[:8]} of {run.job_name}" if run else "Dagster"

        def on_wait(holder: str) -> None:
            log.info(f"waiting for another run that writes to this home: {holder}")

        with home_lock(settings, purpose, wait_seconds, on_wait):
            night_run = NightRun(settings, run.run_id if run else "", watch)
            try:
                yield night_run
            finally:
                night_run.close()

    return dg.ResourceDefinition(
        resource_fn=make, description="The home's lock, the plan of the night, and what was landed and derived for it."
    )


def made_by() -> str:
    """Changes with everything that decides how a night's files become its tables: models, rules, contracts, code."""
    told = hashlib.sha256(manifest.fingerprint().encode())
    for path in [*sorted((PROJECT_ROOT / "loompin").glob("**/*.py")), *sorted(EXPECTATIONS.glob("*.yml"))]:
        told.update(path.name.encode() + b"\0" + Path(path).read_bytes() + b"\0")
    return told.hexdigest()[:20]


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn an error that the user can do something about into a failure with its message alone, without retries."""
    try:
        yield
    except (nights.NightError, nights.UsageError, invoice_pdfs.PdfsFailed, reading.NothingPublished) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
