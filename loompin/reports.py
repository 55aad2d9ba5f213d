"""What `nightly`, `check`, `status` and `importance` tell, as texts and tables. Finding it out is done elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rich.console import Group

from loompin import output
from loompin.importance import FileShares
from loompin.night import Landed
from loompin.record import Record
from loompin.settings import Settings
from loompin.status import Late, Status, late_rows
from loompin.validation import CheckResult, FileAudit, TableLanding

Part = str | Group

_INVOICES = "select tenant_slug, date, amount, status from invoices order by date, tenant_slug"
_TABLES = "select table_name, estimated_size as rows from duckdb_tables() where rows > 0 order by table_name"
_CHECK_COLUMNS = ("rule_id", "severity", "status", "rows_failed", "rows_checked")
_MOST = 20
_COUNTED = ("read", "accepted", "quarantined", "duplicate", "superseded")


def night(settings: Settings, landed: Landed, success: bool, seconds: float) -> Iterator[Part]:
    """The summary at the end of a night."""
    yield from _findings(landed)
    record = Record(settings.raw)
    late = late_rows(record, [done for done in record.nights() if done.night <= landed.night]) if success else []
    audits = [audit for table in landed.tables for audit in table.files]
    checks = [check for table in landed.tables for check in table.checks]
    rows = [
        ("source tables", len(landed.tables)),
        ("files", len(audits)),
        *((f"rows {what}", number) for what, number in zip(_COUNTED, _sums(audits), strict=True)),
        ("late rows", sum(found.rows for found in late)),
        ("checks passed", sum(check.status == "pass" for check in checks)),
        ("checks warning", sum(check.status == "fail" and check.severity == "warn" for check in checks)),
        ("checks failed", sum(check.status == "fail" and check.severity != "warn" for check in checks)),
        ("checks broken", sum(check.status == "broken" for check in checks)),
        ("seconds", round(seconds, 1)),
    ]
    yield output.table(f"\nNight {landed.night}", ("what", "how many"), rows)
    if late:
        yield _late(late)


def where(settings: Settings) -> Iterator[Part]:
    """Where the published file and the invoices are, what is in it, and a first query."""
    from loompin.status import read_published

    found = read_published(settings)
    yield f"Published: {output.count(found.tables, 'table')}, {output.count(found.rows, 'row')} in {settings.published}"
    documents = sum(1 for path in settings.invoices.glob("*.pdf"))
    if documents:
        yield f"Invoices: {output.count(documents, 'PDF')} in {settings.invoices}"
    yield f'Look into it:\n  loompin sql "{_INVOICES if documents else _TABLES}"'


def checked(landed: Landed, every: bool) -> Iterator[Part]:
    """What a dry run found."""
    shown = [table for table in landed.tables if every or _unclean(table)]
    if shown:
        yield output.table(
            "Tables" if every else "Tables with something to tell",
            ("table", "files", *_COUNTED),
            [
                (table.table, len(table.files), *_sums(table.files))
                for table in sorted(shown, key=lambda table: table.table)
            ],
        )
    yield from _findings(landed)
    audits = [audit for table in landed.tables for audit in table.files]
    told = ", ".join(f"{number:,} {what}" for what, number in zip(_COUNTED, _sums(audits), strict=True))
    yield f"\n{output.count(len(audits), 'file')} as of the night {landed.night}: rows {told}."


def status(settings: Settings, found: Status) -> Iterator[Part]:
    """How a home stands."""
    if found.running:
        yield f"A run is writing to this home now: {found.running}."
    last = found.published
    if last is None:
        yield f"No night has been published in {settings.home} yet."
    else:
        yield (
            f"Last night: {last.night}, published {last.published_at:%Y-%m-%d %H:%M} UTC:"
            f" {output.count(last.tables, 'table')}, {output.count(last.rows, 'row')};"
            f" {last.accepted:,} of {output.count(last.read, 'source row')} accepted."
        )
        if found.nights and found.nights[-1].night != last.night:
            yield f"The record's last night is {found.nights[-1].night}: repeat it to publish it again."
        counts = ", ".join(
            f"{number} {_status_in_words(state, severity)}"
            for (state, severity), number in sorted(_merged(last.checks).items())
        )
        yield f"Checks: {counts or 'none'}."
        if last.not_passed:
            yield output.table(
                "\nChecks that did not pass", ("rule", "severity", "status", "rows failed", "of"),
                [[check[column] for column in _CHECK_COLUMNS] for check in last.not_passed],
            )  # fmt: skip
        if last.quarantined:
            yield output.table(
                "\nIn the quarantine", ("table", "rule", "rows", "first at", "reason"),
                [(q.table, q.rule, q.rows, q.first, q.reason) for q in last.quarantined],
                caption="A row comes back by itself once its file, rule or contract is corrected.",
            )  # fmt: skip
        else:
            yield "Quarantine: empty."
    yield _late(found.late) if found.late else "Late rows of the last night: none."
    yield from _next(settings, found)


def _next(settings: Settings, found: Status) -> Iterator[Part]:
    ahead = found.next
    if ahead.problem:
        yield f"Next night: {ahead.problem}"
        return
    if found.nights and ahead.due <= 0:
        done = found.nights[-1].night
        yield f"\nNext night: none is due; {done} is complete, the next one can run when its day has ended (UTC)."
    elif found.nights and ahead.due > 1:
        yield f"\nNext night: {ahead.ends}, which catches up {ahead.due} nights."
    else:
        yield f"\nNext night: {ahead.ends}."
    files = (
        ("new", ahead.new), ("changed", ahead.changed),
        ("landed again, as their contract changed", ahead.contract_changed),
        ("gone (their last good rows are kept)", ahead.gone), ("unreadable", ahead.unreadable),
        ("of no known table", ahead.unknown),
    )  # fmt: skip
    for what, names in files:
        if names:
            yield f"  {output.count(len(names), 'file')} {what}: {_listed(names)}"
    if any((ahead.new, ahead.changed)):
        yield f"  {output.size(ahead.new_bytes)} to land; `loompin check` tells what would become of it."
    elif not any(names for _, names in files):
        yield f"  nothing new in {settings.source}."


def _findings(landed: Landed) -> Iterator[Part]:
    """Files, rules and rows that somebody should look at."""
    for table in landed.tables:
        for error in table.errors:
            yield f"failed: {table.table}: {error}"
    for table in landed.tables:
        for warning in table.warnings:
            yield f"warning: {table.table}: {warning}"
    if landed.unknown_files:
        yield f"warning: files that belong to no table: {_listed(landed.unknown_files)}"
    checks = [
        check for table in landed.tables for check in table.checks if check.status != "pass" and check.kind != "files"
    ]
    if checks:
        checks.sort(key=lambda check: (check.status != "broken", check.severity, check.rule_id))
        yield output.table(
            "\nRules that did not pass", ("rule", "severity", "status", "rows", "first at", "what"),
            [(c.rule_id, c.severity, c.status, c.rows_failed, _first_sample(c), c.message) for c in checks],
        )  # fmt: skip


def _first_sample(check: CheckResult) -> str:
    return check.sample_keys[0] if check.sample_keys else ""


def _late(late: Sequence[Late]) -> Group:
    return output.table(
        "\nLate rows: their own day was complete before they came", ("table", "file", "rows", "earliest (UTC)"),
        [(found.table, found.source_file, found.rows, found.earliest) for found in late],
    )  # fmt: skip


def _sums(audits: Sequence[FileAudit]) -> tuple[int, ...]:
    return tuple(sum(getattr(audit, f"rows_{what}") for audit in audits) for what in _COUNTED)


def _unclean(table: TableLanding) -> bool:
    checks = any(check.status != "pass" for check in table.checks)
    return (
        checks
        or bool(table.errors or table.warnings)
        or any(audit.rows_read != audit.rows_accepted for audit in table.files)
    )


def _merged(checks: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Counts with the severity only where it matters: on checks that failed."""
    merged: dict[tuple[str, str], int] = {}
    for (state, severity), number in checks.items():
        key = (state, severity if state == "fail" else "")
        merged[key] = merged.get(key, 0) + number
    return merged


def _status_in_words(state: str, severity: str) -> str:
    return {"pass": "passed", "broken": "broken"}.get(state, f"failed ({severity})")


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {rest:,} more" if rest > 0 else "")


def importance(found: FileShares, target: str) -> Iterator[Part]:
    """Shares of the columns of a file, the largest first."""
    r2 = found.shares.r2
    rows = sorted(zip(found.columns, found.shares.lmg, found.shares.johnson, strict=True), key=lambda row: -row[1])
    left_out = (
        f", {output.count(found.rows_left_out, 'row')} with an empty cell left out" if found.rows_left_out else ""
    )
    yield output.table(
        f"What {target} depends on",
        ("column", "LMG", "Johnson", "% of R2 (LMG)"),
        [
            (name, round(float(lmg), 6), round(float(johnson), 6), round(100 * float(lmg) / r2, 1) if r2 > 0 else None)
            for name, lmg, johnson in rows
        ],
        caption=f"R2 {r2:.6f} over {output.count(found.rows, 'row')}{left_out}",
    )
    by_johnson = [name for name, _, johnson in sorted(rows, key=lambda row: -row[2])]
    if by_johnson != [name for name, *_ in rows]:
        yield "The two measures put the columns into different orders: do not read much into the order."
    if not found.shares.exact:
        yield "LMG is the mean over 1,024 orders of the columns, not all of them."


def importance_json(found: FileShares) -> str:
    """The same as JSON, with all digits."""
    listed = [
        {"column": name, "lmg": float(lmg), "johnson": float(johnson)}
        for name, lmg, johnson in zip(found.columns, found.shares.lmg, found.shares.johnson, strict=True)
    ]
    told = {"r2": found.shares.r2, "rows": found.rows, "rows_left_out": found.rows_left_out, "importance": listed}
    return json.dumps(told, indent=2, ensure_ascii=False)
