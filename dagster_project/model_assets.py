"""Every dbt model as an asset and every dbt test as its check, made by one dbt invocation a run.

DuckDB admits nobody else while dbt writes, so that row counts and sizes are read in one pass when dbt has ended. How
nodes look in Dagster is in `models`.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import dagster as dg
import duckdb

from dagster_project import describe
from dagster_project.dbt_process import NodeResult, Outcome
from dagster_project.models import Models, Node, is_mart
from dagster_project.night_run import RESOURCE, NightRun
from dagster_project.partitions import NIGHTS, ONE_RUN, night_of
from loompin.night import NightPlan

_SAMPLE_ROWS = 5
_ERRORS_SHOWN = 20


def model_assets(models: Models) -> dg.AssetsDefinition:
    """The step that runs dbt."""

    @dg.multi_asset(
        name="derive",
        description="Build and test the dbt models: staging, intermediate, marts.",
        specs=list(models.specs.values()), check_specs=list(models.checks.values()), can_subset=True,
        partitions_def=NIGHTS, backfill_policy=ONE_RUN, required_resource_keys={RESOURCE}, pool="warehouse",
    )  # fmt: skip
    def derive(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        run: NightRun = context.resources.night_run
        plan = run.plan(night_of(context))
        select = _selection(models, context)
        run.land(plan, context.log, again=False)
        if not run.is_deriving and run.stands(plan) and (before := run.derived_before(plan)) is not None:
            context.log.info(
                f"the night {plan.night} is complete and nothing that decides it has changed: dbt has nothing to do"
            )
            run.watch.unchanged, outcome = True, before
        else:
            if select:
                context.log.info(f"dbt builds {' '.join(select)}: what is selected and everything that it is made from")
            outcome = run.derive(plan, select)
        yield from _events(context, models, run, plan, outcome)
        failed = [result for result in outcome.results.values() if result.status in ("error", "fail", "runtime error")]
        if outcome.status != 0 or failed:
            problems = _problems(models, failed, outcome, plan)
            run.watch.problems.extend(problems)
            raise dg.Failure(description="dbt failed:\n" + "\n".join(problems), allow_retries=False)

    return derive


def _selection(models: Models, context: dg.AssetExecutionContext) -> list[str]:
    """dbt's selection for what is selected in Dagster; empty for everything."""
    assets, checks = context.selected_asset_keys, context.selected_asset_check_keys
    if assets == models.keys:
        return []
    nodes = models.manifest["nodes"]
    wanted = [nodes[unique_id]["name"] for unique_id, spec in models.specs.items() if spec.key in assets]
    # A check alone: the models that it reads, made for this night, and the test itself.
    alone = [
        nodes[unique_id]["name"]
        for unique_id, spec in models.checks.items()
        if spec.key in checks and spec.asset_key not in assets
    ]
    return [f"+{name}" for name in sorted({*wanted, *alone})]


def _events(
    context: dg.AssetExecutionContext, models: Models, run: NightRun, plan: NightPlan, outcome: Outcome
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    nodes = models.manifest["nodes"]
    with contextlib.closing(duckdb.connect(str(plan.warehouse), read_only=True)) as connection:
        facts = _Facts(connection, [node for unique_id, node in nodes.items() if unique_id in models.specs])
        for unique_id, spec in models.specs.items():
            result = outcome.results.get(unique_id)
            if result is not None and result.succeeded:
                run.watch.models_built += 1
                if spec.key in context.selected_asset_keys:
                    yield dg.MaterializeResult(asset_key=spec.key, metadata=facts.of(nodes[unique_id], result))
        for unique_id, check in models.checks.items():
            result = outcome.results.get(unique_id)
            if result is None or result.status == "skipped":
                continue
            run.watch.tests_passed += result.succeeded
            if check.key in context.selected_asset_check_keys:
                yield _check_result(check, nodes[unique_id], result, nodes, connection)
            elif not result.succeeded:
                context.log.warning(
                    f"{check.name} on {check.asset_key.to_user_string()}: {result.status}. {result.message}"
                )


class _Facts:
    """Rows, bytes and columns of the relations in a warehouse, read once for all of them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, nodes: list[Node]) -> None:
        self.bytes = describe.sizes(connection)
        self.columns = describe.columns(connection)
        tables = [_relation(node) for node in nodes if _relation(node) in self.bytes]
        self.rows = describe.row_counts(connection, tables)

    def of(self, node: Node, result: NodeResult) -> dict[str, Any]:
        relation = _relation(node)
        found: dict[str, Any] = {"seconds": round(result.seconds, 4)}
        if relation in self.bytes:
            # A view holds no rows or bytes of its own; to count it would run it.
            found |= {"dagster/row_count": self.rows[relation], "bytes": self.bytes[relation]}
        if not node.get("columns") and relation in self.columns:
            found["dagster/column_schema"] = describe.schema(
                (name, data_type, "", False, []) for name, data_type in self.columns[relation]
            )
        return found


def _check_result(
    check: dg.AssetCheckSpec,
    node: Node,
    result: NodeResult,
    nodes: dict[str, Node],
    connection: duckdb.DuckDBPyConnection,
) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"status": result.status, "seconds": round(result.seconds, 4)}
    if result.failures is not None:
        metadata["rows_failed"] = result.failures
    if result.compiled:
        metadata["sql"] = dg.MetadataValue.md(f"```sql\n{result.compiled.strip()}\n```")
    if not result.succeeded and result.compiled and _is_masked(node, nodes):
        metadata["sample_rows"] = dg.MetadataValue.md(_samples(connection, result.compiled))
    return dg.AssetCheckResult(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=result.succeeded,
        severity=dg.AssetCheckSeverity.WARN if result.status == "warn" else dg.AssetCheckSeverity.ERROR,
        description=None if result.succeeded else result.message or None,
        metadata=metadata,
    )


def _is_masked(test: Node, nodes: dict[str, Node]) -> bool:
    """Whether a test reads marts alone, so that its rows may be shown: personal data is masked in them."""
    return all(parent in nodes and is_mart(nodes[parent]) for parent in test["depends_on"]["nodes"])


def _samples(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    try:
        found = connection.execute(f"select * from ({sql.strip().rstrip(';')}\n) limit {_SAMPLE_ROWS}")
        names = [column[0] for column in found.description or []]
        rows = [[str(value).replace("|", "\\|") for value in row] for row in found.fetchall()]
    except duckdb.Error as error:
        return f"the rows cannot be read: {error}"
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _problems(models: Models, failed: list[NodeResult], outcome: Outcome, plan: NightPlan) -> list[str]:
    nodes = models.manifest["nodes"]
    told = []
    for result in failed:
        node = nodes.get(result.unique_id)
        where = f" ({node['original_file_path']})" if node else ""
        message = f"{node['name'] if node else result.unique_id}{where}: {result.message}"
        if node is not None and node["resource_type"] == "test" and result.status == "fail" and result.compiled:
            message += _broken_by(plan, result.compiled)
        told.append(message)
    return (told or outcome.errors or [f"dbt ended with status {outcome.status}"])[:_ERRORS_SHOWN]


def _broken_by(plan: NightPlan, sql: str) -> str:
    """What broke a test that says so in a column `broken_by` (an invoice, a tenant, a month), some of them."""
    try:
        with contextlib.closing(duckdb.connect(str(plan.warehouse), read_only=True)) as connection:
            rows = connection.execute(
                f"select distinct cast(broken_by as varchar) from ({sql.strip().rstrip(';')}\n)"
                f" where broken_by is not null order by all limit {_SAMPLE_ROWS}"
            ).fetchall()
    except duckdb.Error:
        return ""
    return f" Broken by {', '.join(value for (value,) in rows)}." if rows else ""


def _relation(node: Node) -> tuple[str, str]:
    return str(node["schema"]), str(node.get("alias") or node["name"])
