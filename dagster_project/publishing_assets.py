"""What a night ends with: the published file, the invoices' PDFs, and the pages about it (Data Docs, dbt docs).

How a file is published is in `loompin.night` and `loompin.publish`; how PDFs are made in `loompin.invoice_pdfs`, and
pages in `loompin.quality_docs` and `loompin.dbt_docs`.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from dagster_project import describe
from dagster_project.models import Models
from dagster_project.night_run import RESOURCE, NightRun, PagesFailed, told
from dagster_project.partitions import NIGHTS, ONE_RUN, night_of
from dagster_project.source_assets import source_key
from loompin import dbt_docs, invoice_pdfs, publish
from loompin import night as nights
from loompin.contracts import Contracts

PUBLISHED = dg.AssetKey(["published", "analytics"])
INVOICE_PDFS = dg.AssetKey(["docs", "invoice_pdfs"])
QUALITY_DOCS = dg.AssetKey(["docs", "data_quality"])
DBT_DOCS = dg.AssetKey(["docs", "dbt"])

# A night is published some minutes after 00:30 UTC; the next one is due 24 hours later.
_FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=25), fail_window=timedelta(hours=30))


def publishing_assets(contracts: Contracts, models: Models) -> list[dg.AssetsDefinition]:
    """The published file, the invoices' PDFs and the pages."""
    return [_published(contracts, models), _invoice_pdfs(), _docs(contracts)]


def _published(contracts: Contracts, models: Models) -> dg.AssetsDefinition:
    every_source = [source_key(table) for table in contracts.tables]
    unread = [key for key in every_source if key not in models.sources_read]
    steps = [dg.AssetKey(["intermediate", step]) for step in publish.STEPS_READ]

    @dg.multi_asset(
        name="publish",
        description="Check the new file, put it in the old one's place, and complete the night.",
        specs=[
            dg.AssetSpec(
                key=PUBLISHED,
                deps=[*models.published, *unread, *steps],
                description=(
                    "The DuckDB file that analysts open: every catalog table, every mart of ours, `quarantine`,"
                    " `load_audit`, `data_quality` and `data_as_of`. One night, whole; replaced at once, so that an"
                    " open reader keeps its own."
                ),
                group_name=describe.PUBLISHING,
                owners=describe.owners(describe.PUBLISHING),
                kinds={"duckdb"},
                freshness_policy=_FRESH,
                metadata={
                    "dagster/column_schema": _as_of_schema(),
                    "dagster/code_references": describe.code_reference(
                        (Path(publish.__file__), None, "how it is made"),
                        (Path(nights.__file__), None, "what a night is"),
                    ),
                },
            )
        ],
        partitions_def=NIGHTS, backfill_policy=ONE_RUN, required_resource_keys={RESOURCE}, pool="warehouse",
    )  # fmt: skip
    def publish_night(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        run: NightRun = context.resources.night_run
        plan = run.plan(night_of(context))
        run.land(plan, context.log, again=False)
        if run.derived_before(plan) is None:
            context.log.info(f"the models were not all built for the night {plan.night}: dbt builds them first")
            outcome = run.derive(plan)
            if outcome.status != 0:
                raise dg.Failure(description="dbt failed:\n" + "\n".join(outcome.errors), allow_retries=False)
        if run.stands(plan):
            context.log.info(f"the night {plan.night} is published and nothing that decides it has changed")
        with run.watch.stage("publish"), told():
            published = run.publish(plan)
        if plan.mode == "earlier":
            # Materialized all the same: a backfill that misses one of its assets counts as failed.
            yield dg.MaterializeResult(
                asset_key=PUBLISHED,
                metadata={
                    "night": f"{plan.night}, recomputed and compared; the file still holds {plan.last_completed}",
                    "mode": plan.mode,
                },
            )
            return
        yield dg.MaterializeResult(
            asset_key=PUBLISHED,
            metadata={
                "path": dg.MetadataValue.path(str(run.settings.published)),
                "night": str(plan.night),
                "tables": published.tables,
                "dagster/row_count": published.rows,
                "bytes": published.bytes,
                "seconds": round(run.watch.seconds.get("publish", 0.0), 3),
                "mode": plan.mode,
            },
        )

    return publish_night


def _invoice_pdfs() -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="invoice_pdfs",
        description="Make the PDFs of invoices that have none yet, from the published file alone.",
        specs=[
            dg.AssetSpec(
                key=INVOICE_PDFS,
                deps=[PUBLISHED],
                description=(
                    "One PDF an invoice, `invoices/<id>.pdf` in the home, made once and never written again. An invoice"
                    " whose PDF cannot be made fails the run, not the publication; the next run makes it."
                ),
                group_name=describe.PUBLISHING,
                owners=describe.owners(describe.PUBLISHING),
                kinds={"pdf", "typst"},
                metadata={
                    "dagster/code_references": describe.code_reference(
                        (Path(invoice_pdfs.__file__), None, "how it is made"),
                        (invoice_pdfs.TEMPLATE, None, "how it looks"),
                    ),
                },
            )
        ],
        partitions_def=NIGHTS, backfill_policy=ONE_RUN, required_resource_keys={RESOURCE}, pool="warehouse",
    )  # fmt: skip
    def make_invoice_pdfs(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        run: NightRun = context.resources.night_run
        run.plan(night_of(context))  # which completes a night that was killed after its publication
        with told():
            made = run.write_invoices()
        return dg.MaterializeResult(
            asset_key=INVOICE_PDFS,
            metadata={
                "path": dg.MetadataValue.path(str(run.settings.invoices)),
                "made": made.count,
                "there": made.there,
                "bytes": made.bytes,
                "seconds": round(made.seconds, 3),
            },
        )

    return make_invoice_pdfs


def _docs(contracts: Contracts) -> dg.AssetsDefinition:
    # A page that could not be made is no reason to call a published night failed: it fails a check of its own.
    made = "made"

    def spec(key: dg.AssetKey, deps: list[dg.AssetKey], description: str, kind: str, made_in: str) -> dg.AssetSpec:
        return dg.AssetSpec(
            key=key, deps=deps, description=description, group_name=describe.PUBLISHING, kinds={kind}, skippable=True,
            owners=describe.owners(describe.PUBLISHING),
            metadata={"dagster/code_references": describe.code_reference((Path(made_in), None, "how it is made"))},
        )  # fmt: skip

    from loompin import quality_docs

    sources = [source_key(table) for table in contracts.tables]

    @dg.multi_asset(
        name="document",
        description="Wait for Data Docs, which are made beside dbt, and make dbt's page.",
        specs=[
            # After the published file, so that nothing waits for pages; they are made of what landing found.
            spec(QUALITY_DOCS, [*sources, PUBLISHED], "Great Expectations' Data Docs: suites and results of nights.",
                 "greatexpectations", quality_docs.__file__),
            spec(DBT_DOCS, [PUBLISHED], "dbt docs as one static page: models, columns, lineage, SQL.", "dbt",
                 dbt_docs.__file__),
        ],
        check_specs=[
            dg.AssetCheckSpec(made, asset=key, description="The page of this night could be made.")
            for key in (QUALITY_DOCS, DBT_DOCS)
        ],
        can_subset=True, partitions_def=NIGHTS, backfill_policy=ONE_RUN, required_resource_keys={RESOURCE},
        pool="warehouse",
    )  # fmt: skip
    def document(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        run: NightRun = context.resources.night_run
        plan = run.plan(night_of(context))
        landed = run.land(plan, context.log, again=False)
        pages: dict[dg.AssetKey, Callable[[], Path]] = {
            QUALITY_DOCS: lambda: run.quality_docs(landed),
            DBT_DOCS: lambda: run.dbt_docs(plan),
        }
        for key, make in pages.items():
            if key in context.selected_asset_keys:
                reason = ""
                with run.watch.stage("docs"):
                    try:
                        page = make()
                    except PagesFailed as error:
                        reason = str(error)
                        context.log.warning(f"{key.to_user_string()} is as it was before: {reason}")
                    else:
                        yield dg.MaterializeResult(asset_key=key, metadata=_page(page))
                yield dg.AssetCheckResult(
                    asset_key=key, check_name=made, passed=not reason, severity=dg.AssetCheckSeverity.WARN,
                    description=reason or None,
                )  # fmt: skip

    return document


def _page(page: Path) -> dict[str, Any]:
    return {
        "page": dg.MetadataValue.path(str(page)),
        "bytes": page.stat().st_size,
    }


def _as_of_schema() -> dg.TableSchema:
    """The one row that says which night the file holds: what a reader looks at first."""
    text = "varchar"
    return describe.schema([
        ("night", "date", "data_as_of: the night that the file holds.", True, []),
        ("run_id", text, "data_as_of: the Dagster run that made it.", True, []),
        ("published_at", "timestamp", "data_as_of: when it was published (UTC).", True, []),
        ("code_version", text, "data_as_of: the code that made it.", True, []),
        ("duckdb_version", text, "data_as_of: the DuckDB that wrote it.", True, []),
    ])  # fmt: skip
