"""Every declared source table as an asset, landed by one step, with one asset check a rule.

Ninety-odd steps of their own would cost minutes; one step that can be subset shows the same in the UI. What landing and
rules are is in `loompin`; nothing here decides whether a row is good.
"""

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from dagster_project import describe
from dagster_project.night_run import RESOURCE, NightRun
from dagster_project.partitions import NIGHTS, ONE_RUN, night_of
from loompin import sources
from loompin.contracts import Contracts, Severity, Table
from loompin.rules import Rule, contract_rules, platform_rules, read_expectations
from loompin.settings import DBT_PROJECT, Settings
from loompin.validation import CheckResult, TableLanding

_PAIRS = {"entity_type", "field_name", "rule_type", "params"}


def source_key(table: str) -> dg.AssetKey:
    """The asset key of a source table."""
    return dg.AssetKey(["source", table])


def landing_key(table: str) -> dg.AssetKey:
    """The asset key of a table that the loader writes about the run."""
    return dg.AssetKey(["landing", table])


@dataclass(frozen=True)
class KnownRule:
    """A rule as it is known before anything is landed: enough to show it in the UI."""

    table: str
    check: str
    severity: Severity
    reason: str


def known_rules(settings: Settings, contracts: Contracts) -> list[KnownRule]:
    """The rules of the contracts and of the `validation_rules` that the source folder holds now, one for each check."""
    expectations = read_expectations()
    found: dict[tuple[str, str], KnownRule] = {}

    def add(owner: str, check: str, severity: Severity, reason: str) -> None:
        found.setdefault((owner, check), KnownRule(owner, check, severity, reason))

    for table in contracts.tables.values():
        severity = expectations.severity(f"{table.name}.files_landed", "block" if table.night_ends_without else "warn")
        add(table.name, "files_landed", severity, "Every file of the table could be read.")
        for rule in contract_rules(table, expectations):
            add(table.name, describe.check_name(rule.name), rule.severity, _says(rule))
    for rule in platform_rules(_platform_rows(settings, contracts), contracts, {}, expectations):
        owner, check = _place(rule.table, rule.rule_id, contracts)
        add(owner, check, rule.severity, _says(rule))
    return list(found.values())


def source_assets(
    contracts: Contracts,
    rules: Sequence[KnownRule],
    landing_tables: Sequence[Mapping[str, Any]],
    models: Collection[dg.AssetKey],
    pages: Collection[dg.AssetKey],
) -> dg.AssetsDefinition:
    """The step that lands the night, with one asset for each source table.

    Args:
        landing_tables: dbt's declarations of the tables that the loader writes about the run.
        models: the assets that dbt makes; a run that wants any of them lets dbt load while it lands.
        pages: the assets that are made of what landing found; a run that wants any of them begins with it at once.
    """
    specs = [_spec(table) for table in contracts.tables.values()]
    specs += [_landing_spec(properties) for properties in landing_tables]
    check_specs = [
        dg.AssetCheckSpec(
            name=rule.check, asset=source_key(rule.table), description=rule.reason, blocking=rule.severity == "block",
            metadata={"severity": rule.severity},
        )
        for rule in rules
    ]  # fmt: skip
    known = {spec.key for spec in check_specs}

    @dg.multi_asset(
        name="land",
        description="Land the source files as typed Parquet, resolve tenants and users, apply every rule.",
        specs=specs, check_specs=check_specs, can_subset=True, partitions_def=NIGHTS, backfill_policy=ONE_RUN,
        required_resource_keys={RESOURCE}, pool="warehouse",
    )  # fmt: skip
    def land(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        run: NightRun = context.resources.night_run
        plan = run.plan(night_of(context))
        if run.wants(context, models) and not run.stands(plan):
            run.warm_dbt(plan)
        landed = run.land(plan, context.log)
        if run.wants(context, pages):
            run.start_quality_docs(landed)
        if run.wants_all(context, models) and not landed.blocking and not run.stands(plan):
            # dbt works while what landing found is written to the event log.
            run.begin_derive(plan)
        for table in landed.tables:
            yield from _events(context, table, contracts, known)
        for properties in landing_tables:
            if landing_key(properties["name"]) in context.selected_asset_keys:
                yield dg.MaterializeResult(
                    asset_key=landing_key(properties["name"]), metadata={"night": str(plan.night)}
                )
        if landed.unknown_files:
            context.log.warning(f"files that belong to no table: {', '.join(landed.unknown_files)}")
        if landed.blocking:
            run.watch.problems.extend(landed.blocking)
            raise dg.Failure(description="The night ends here: " + "; ".join(landed.blocking), allow_retries=False)

    return land


def _events(
    context: dg.AssetExecutionContext, table: TableLanding, contracts: Contracts, known: Collection[dg.AssetCheckKey]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """What a run shows of a table that was landed."""
    key = source_key(table.table)
    if key in context.selected_asset_keys:
        yield dg.MaterializeResult(asset_key=key, metadata=_metadata(table))
    for result in table.checks:
        check = dg.AssetCheckKey(key, _place(result.table, result.rule_id, contracts)[1])
        if check in context.selected_asset_check_keys:
            yield check_result(check, result)
        elif check not in known:
            # The rule came with this night's files, after the code location was loaded.
            context.log.warning(
                f"{result.rule_id}: {result.status}, {result.rows_failed} of {result.rows_checked} rows"
                f" ({result.severity}). {result.message} {result.sql}"
                " Reload the code location to see it as a check."
            )
    for problem in [*table.errors, *table.warnings]:
        context.log.warning(f"{table.table}: {problem}")


def _spec(table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=source_key(table.name),
        description=table.description,
        group_name=table.domain,
        owners=describe.owners(table.domain),
        kinds={"csv", "parquet", "duckdb"},
        skippable=True,
        metadata={
            "dagster/column_schema": describe.schema(
                (c.name, c.data_type, c.description, c.not_null, [f"personal_{c.personal}"] if c.personal else [])
                for c in table.columns
            ),
            "dagster/table_name": f"source.{table.name}",
            "dagster/code_references": describe.code_reference((table.file, table.line, "contract")),
            "key": ", ".join(table.key) or "none: rows are never told apart",
            "published": table.published,
            "night_ends_without": table.night_ends_without,
        },
    )


def _landing_spec(properties: Mapping[str, Any]) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=landing_key(properties["name"]),
        description=properties["description"],
        group_name=describe.LANDING,
        owners=describe.owners(describe.LANDING),
        kinds={"duckdb"},
        skippable=True,
        metadata={
            "dagster/column_schema": describe.schema(
                (name, column.get("data_type") or "", column.get("description") or "", False, [])
                for name, column in properties["columns"].items()
            ),
            "dagster/table_name": f"landing.{properties['name']}",
            "dagster/code_references": describe.code_reference(
                (DBT_PROJECT / properties["original_file_path"], None, "declaration")
            ),
        },
    )


def _metadata(table: TableLanding) -> dict[str, Any]:
    files = table.files
    return {
        "dagster/row_count": table.rows,
        "bytes": table.bytes,
        "seconds": round(table.seconds, 4),
        "files": len(files),
        "rows_read": sum(file.rows_read for file in files),
        "rows_quarantined": sum(file.rows_quarantined for file in files),
        "rows_duplicate": sum(file.rows_duplicate for file in files),
        "rows_superseded": sum(file.rows_superseded for file in files),
        **({"errors": dg.MetadataValue.json(table.errors)} if table.errors else {}),
        **({"warnings": dg.MetadataValue.json(table.warnings)} if table.warnings else {}),
    }


def check_result(key: dg.AssetCheckKey, result: CheckResult) -> dg.AssetCheckResult:
    """What a run shows of a rule: count, sample keys, and the SQL that finds the rest."""
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=result.status == "pass",
        severity=dg.AssetCheckSeverity.ERROR if result.severity == "block" else dg.AssetCheckSeverity.WARN,
        description=result.message or None,
        metadata={
            "rule": result.rule_id,
            "severity": result.severity,
            "status": result.status,
            "rows_checked": result.rows_checked,
            "rows_failed": result.rows_failed,
            # As text: the UI shows it at once, where JSON and Markdown stand behind a link.
            **({"sample_keys": "; ".join(result.sample_keys)} if result.sample_keys else {}),
            **({"sql": result.sql} if result.sql else {}),
        },
    )


def _says(rule: Rule) -> str:
    return f"{rule.column}: {rule.reason}." if rule.column else f"{rule.reason}."


def _place(table: str, rule_id: str, contracts: Contracts) -> tuple[str, str]:
    """The table whose asset shows a rule, and the check's name. A rule about no table is shown with the rules."""
    if table in contracts.tables:
        return table, describe.check_name(rule_id.removeprefix(f"{table}."))
    return "validation_rules", describe.check_name(rule_id)


def _platform_rows(
    settings: Settings, contracts: Contracts
) -> list[tuple[str | None, str | None, str | None, str | None]]:
    """The rows of `validation_rules` as the source folder has them, to name their checks; the night reads its own."""
    try:
        files = [
            file for file in sources.discover(settings.source, contracts).files if file.table == "validation_rules"
        ]
    except sources.NoSource:
        return []
    rows: list[tuple[str | None, str | None, str | None, str | None]] = []
    for file in files:
        try:
            records = _records(file)
        except (OSError, ValueError, csv.Error):
            # A file that cannot be read is reported by the night; here it only names no checks.
            continue
        rows += [
            (_clean(r["entity_type"]), _clean(r["field_name"]), _clean(r["rule_type"]), _clean(r["params"]))
            for r in records
            if r.keys() >= _PAIRS
        ]
    return rows


def _records(file: sources.SourceFile) -> list[dict[str, Any]]:
    if file.path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        read: list[dict[str, Any]] = pq.read_table(file.path).to_pylist()
        return read
    text = file.path.read_text(encoding="utf-8-sig", errors="replace")
    if file.path.suffix.lower() == ".jsonl":
        parsed = (json.loads(line) for line in text.splitlines() if line.strip())
        return [record for record in parsed if isinstance(record, dict)]
    return [dict(row) for row in csv.DictReader(text.splitlines())]


def _clean(value: object) -> str:
    return str(value or "").replace("`", "").strip()
