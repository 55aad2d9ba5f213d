"""From landed parts to accepted rows: which tenant a row means, which rules it breaks, whether it counts.

For every table, in the order of references: the rows known at the night (`known`) are resolved (`identity`), each is
tried against the rules (`rules`) in one pass, then rows of one key are told apart (`versions`). What is left is the
view `source.<table>`; the rest is in `landing.quarantine` or counted in `landing.load_audit`.

In the warehouse's schema `landing` stand, besides what `known` makes: `rows_<table>` (all rows known at the night; a
view of the Parquet parts, or a copy if they are few), `failing` (each row and rule that it breaks), `excluded` (rows
that do not count, and why), `quarantine`, `load_audit`, `data_quality`. Design section 1 says what a severity does.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from loompin import history, known, sqltext, versions
from loompin import rules as rules_module
from loompin.contracts import Column, Contracts, Severity, Table
from loompin.identity import Identities
from loompin.known import Files, Portion, Resolved, State, day, insert, when_sql
from loompin.landing import MALFORMED, rejects_path
from loompin.record import FileVersion, Record
from loompin.rules import Expectations, Rule
from loompin.service_months import ServiceMonths
from loompin.sqltext import literal, name

_SAMPLES = 5
_INTERNAL = ("_known_night", "_source_file", "_source_line")
# Tables of at most so many rows are copied into the warehouse: every query on them is faster than reading Parquet.
_FEW_ROWS = 20_000
# Up to so many rows, hashes are counted for all rules of a table at once before those that repeat are looked for.
_FEW_HASHES = 1_000_000
# References to tenants that could mean several.
_AMBIGUOUS = "(select ref from landing.tenant_refs where problem = 'ambiguous')"
# What a predicate can raise that is its own fault, not the machine's.
_BROKEN = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.NotImplementedException,
    duckdb.OutOfRangeException,
    duckdb.ParserException,
    duckdb.SyntaxException,
    duckdb.TypeMismatchException,
)


@dataclass(frozen=True)
class CheckResult:
    """What one rule found. `sample_keys` are file:line with the row's key; `sql` finds all rows in the published
    file."""

    rule_id: str
    table: str
    column: str | None
    kind: str
    severity: Severity
    status: Literal["pass", "fail", "broken"]
    rows_checked: int
    rows_failed: int
    sample_keys: list[str]
    sql: str
    message: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileAudit:
    """Where the rows of one file went: read = accepted + quarantined + duplicate + superseded."""

    source_file: str
    rows_read: int
    rows_accepted: int
    rows_quarantined: int
    rows_duplicate: int
    rows_superseded: int


@dataclass
class TableLanding:
    """A table after a night's validation."""

    table: str
    domain: str
    rows: int
    bytes: int
    seconds: float
    files: list[FileAudit]
    checks: list[CheckResult]
    warnings: list[str]
    errors: list[str]


def validate(
    connection: duckdb.DuckDBPyConnection,
    record: Record,
    contracts: Contracts,
    expectations: Expectations,
    state: State,
    parts: Callable[[FileVersion], Path] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[TableLanding]:
    """Build the schemas `source` and `landing` of a warehouse for a night and tell what was found.

    Either both are built anew or, after an error, both are as before.

    Args:
        connection: the warehouse, open for writing.
        record: the record of the home.
        contracts: the declared tables.
        expectations: the severities of rules and the tables of entities.
        state: the file versions of the night.
        parts: where the Parquet part of a version stands (the record's place, unless a dry run says otherwise).
        progress: called with each table's name before its work.
    """
    connection.execute("begin")
    try:
        run = _Validation(connection, record, contracts, expectations, state, parts or record.part)
        landed = run.all(progress or (lambda _: None))
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")
    return landed


class _Validation:
    """One validation; a class so that what all its steps share is not passed around."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, record: Record, contracts: Contracts, expectations: Expectations,
        state: State, parts: Callable[[FileVersion], Path],
    ) -> None:  # fmt: skip
        self.connection, self.contracts, self.expectations, self.state = connection, contracts, expectations, state
        self.part = parts
        self._schemas()
        self.files = Files(connection, record, state, parts)
        self.has_ambiguous = False
        self.platform: dict[str, list[Rule]] = {}
        self.months: dict[str, ServiceMonths] = {}
        self.done: set[str] = set()
        self.needed = self._needed()

    def all(self, progress: Callable[[str], None]) -> list[TableLanding]:
        ordered = self.contracts.in_reference_order()
        ordered.sort(key=lambda table: table.name != "validation_rules")
        later = self._later_rows([table for table in ordered if not table.is_keyed_by_month])
        landed: list[TableLanding] = []
        for table in ordered:
            progress(table.name)
            started = time.perf_counter()
            result = _TableValidation(self, table, later.get(table.name, [])).run()
            result.seconds = time.perf_counter() - started
            landed.append(result)
            self.done.add(table.name)
            if table.name == "validation_rules":
                self._read_platform_rules()
                self._read_months()
                by_month = [self.contracts.tables[name] for name in self.months]
                later |= self._later_rows(by_month)
            elif table.name == "tenants":
                # A tenant that was known once stays known, by the slug that it was known by first.
                rows = self.connection.execute(
                    "select id, arg_min(slug, _known_night) from landing.history_tenants group by id order by id"
                ).fetchall()
                self._resolve("tenants", Identities([row[0] for row in rows], [(row[1], row[0]) for row in rows]))
            elif table.name == "users":
                rows = self.connection.execute("select id from source.users").fetchall()
                self._resolve("users", Identities([row[0] for row in rows]))
        self._unknown_rules(landed)
        self._write_results(landed)
        return landed

    def _schemas(self) -> None:
        run = self.connection.execute
        run("create schema if not exists source")
        run("drop schema if exists landing cascade")
        run("create schema landing")
        run("create table landing.night (night date not null)")
        run(f"insert into landing.night values ({day(self.state.night)})")
        run(
            "create table landing.quarantine (table_name varchar, source_file varchar, source_line bigint,"
            " rule varchar, column_name varchar, value varchar, reason varchar, row_json varchar,"
            " received_at timestamp)"
        )
        run("create table landing.failing (table_name varchar, rule varchar, file_id integer, _row bigint)")
        run("create table landing.excluded (table_name varchar, file_id integer, _row bigint, status varchar)")
        run("create table landing.duplicates (table_name varchar, service_month date, events bigint)")
        run("create table landing.tenant_refs (ref varchar, id varchar, slug varchar, problem varchar, known date)")
        run("create table landing.user_refs (ref varchar, id varchar, problem varchar)")

    def _needed(self) -> dict[str, set[str]]:
        """The columns of each table without whose value a row of another table is not accepted."""
        needed: dict[str, set[str]] = {}
        for table in self.contracts.tables.values():
            for column in table.columns:
                if self.cannot_do_without(table, column) and column.references:
                    needed.setdefault(column.references.table, set()).add(column.references.column)
        return needed

    def cannot_do_without(self, table: Table, column: Column) -> bool:
        """Whether a row leaves if this column's reference is an orphan."""
        reference = column.references
        if reference is None or reference.or_to or reference.table == table.name:
            return False
        rule = f"{table.name}.{reference.rule or column.name + '_reference'}"
        return self.expectations.severity(rule, reference.orphan) != "warn"

    # -- references to tenants and users ------------------------------------------------------------------------------

    def _resolve(self, target: Literal["tenants", "users"], identities: Identities) -> None:
        """Look up every reference to tenants or users in the parts of all tables, once."""
        queries = []
        for table in self.contracts.tables.values():
            current = self.files.numbers(table, with_former=True)
            for column in table.columns:
                if current and refers_to(table, column, target) and table.name in self.months:
                    queries.append(self.months[table.name].references(column.name))
                elif current and refers_to(table, column, target):
                    parts = self.files.parts(table, current)
                    queries.append(f"select distinct {name(column.name)} as ref from ({parts})")
        if not queries:
            return
        found = self.connection.execute(
            f"select distinct ref from ({' union all '.join(queries)}) where ref is not null"
        ).fetchall()
        rows: list[tuple[Any, ...]] = []
        for (ref,) in found:
            identity, problem = identities.resolve(ref)
            rows.append((ref, identity, identities.slug(identity), problem))
        text = pa.string()
        if target == "tenants":
            columns = {"ref": text, "id": text, "slug": text, "problem": text, "known": pa.date32()}
            insert(self.connection, "landing.tenant_refs", columns, [(*row, None) for row in rows])
            self.has_ambiguous = any(problem == "ambiguous" for *_, problem in rows)
            if "id" in self.needed.get("tenants", ()):
                self.connection.execute(
                    "update landing.tenant_refs as t set known = k.known from landing.known_tenants_id as k"
                    " where k.value = t.id"
                )
        else:
            columns = {"ref": text, "id": text, "problem": text}
            insert(self.connection, "landing.user_refs", columns, [(row[0], row[1], row[3]) for row in rows])

    # -- rules --------------------------------------------------------------------------------------------------------

    def rules_of(self, table: Table) -> list[Rule]:
        """A table's rules: those of its contract, then the platform's."""
        return rules_module.contract_rules(table, self.expectations) + self.platform.get(table.name, [])

    def _read_platform_rules(self) -> None:
        rows = self.connection.execute(
            "select entity_type, field_name, rule_type, cast(params as varchar)"
            " from source.validation_rules order by all"
        ).fetchall()
        brought: dict[str, set[str]] = {}
        for version in self.state.versions:
            brought.setdefault(version.table, set()).update(version.columns)
        for rule in rules_module.platform_rules(rows, self.contracts, brought, self.expectations):
            self.platform.setdefault(rule.table, []).append(rule)

    def _read_months(self) -> None:
        """Find the months of usage events that nothing tells to be as before, now that all rules are known."""
        for table in self.contracts.tables.values():
            if table.is_keyed_by_month:
                rules = self.rules_of(table)
                told = repr(rules)
                if any("select" in (rule.good or "").lower() for rule in rules):
                    # What a rule finds that reads other rows is known once it has read them.
                    told += secrets.token_hex(8)
                self.months[table.name] = ServiceMonths(self.connection, self.files, table, told)

    def _later_rows(self, tables: Sequence[Table]) -> dict[str, list[str]]:
        """What to tell of rows that name a time after the night: they wait for the night of that time."""
        queries = []
        for table in tables:
            numbers, when = self.files.numbers(table), when_sql(table, "p.")
            if table.name in self.months:
                later = self.months[table.name].later_files()
                numbers = [number for number in numbers if number in later]
            if numbers and when:
                queries.append(
                    f"select {literal(table.name)}, p.source_file, count(*)"
                    f" from ({self.files.parts(table, numbers)}) as p"
                    f" where cast({when} as date) > {day(self.state.night)} group by p.source_file"
                )
        told: dict[str, list[str]] = {}
        if queries:
            for table_name, file, count in self.connection.execute(" union all ".join(queries)).fetchall():
                rows = "1 row is" if count == 1 else f"{count} rows are"
                told.setdefault(table_name, []).append(f"{file}: {rows} of a later night and will count from then on")
        return told

    # -- results ------------------------------------------------------------------------------------------------------

    def _unknown_rules(self, landed: list[TableLanding]) -> None:
        """Broken rules of entities that are no table are reported with the rules themselves."""
        owner = next(table for table in landed if table.table == "validation_rules")
        for table_name, rules in self.platform.items():
            if table_name not in self.contracts.tables:
                owner.checks += [_broken(rule) for rule in rules]

    def _write_results(self, landed: list[TableLanding]) -> None:
        night, text, number, date_ = self.state.night, pa.string(), pa.int64(), pa.date32()
        counts = ("rows_read", "rows_accepted", "rows_quarantined", "rows_duplicate", "rows_superseded")
        self.connection.execute(
            "create table landing.load_audit (table_name varchar, source_file varchar, night date, rows_read bigint,"
            " rows_accepted bigint, rows_quarantined bigint, rows_duplicate bigint, rows_superseded bigint)"
        )
        self.connection.execute(
            "create table landing.data_quality (night date, rule_id varchar, table_name varchar, column_name varchar,"
            " severity varchar, status varchar, rows_checked bigint, rows_failed bigint)"
        )
        insert(
            self.connection, "landing.load_audit",
            {"table_name": text, "source_file": text, "night": date_, **dict.fromkeys(counts, number)},
            [(table.table, audit.source_file, night, *(getattr(audit, count) for count in counts))
             for table in landed for audit in table.files],
        )  # fmt: skip
        insert(
            self.connection, "landing.data_quality",
            {"night": date_, "rule_id": text, "table_name": text, "column_name": text, "severity": text, "status": text,
             "rows_checked": number, "rows_failed": number},
            [(night, c.rule_id, c.table, c.column, c.severity, c.status, c.rows_checked, c.rows_failed)
             for table in landed for c in table.checks],
        )  # fmt: skip


class _TableValidation:
    """The validation of one table."""

    def __init__(self, whole: _Validation, table: Table, warnings: Sequence[str]) -> None:
        self.whole, self.table, self.connection, self.files = whole, table, whole.connection, whole.files
        self.current = whole.files.of(table)
        self.rules = whole.rules_of(table)
        self.by_name = {rule.name: rule for rule in reversed(self.rules)}
        self.rows = f"landing.{name('rows_' + table.name)}"
        # What is tried against the rules: of a table with service months, those that are stale.
        self.tried = self.rows
        self.months = whole.months.get(table.name)
        self.warnings = [
            *(f"{version.source_file} {warning}" for version in self.current for warning in version.warnings),
            *warnings,
        ]
        self.is_copied = self.found_failing = self.has_excluded = False
        self.quarantined_misfits: dict[str, int] = {}
        self.broken: dict[str, str] = {}
        self.read_by_month: list[tuple[int, date | None, int]] = []

    def run(self) -> TableLanding:
        table, state = self.table, self.whole.state
        errors = [f"{file}: {why}" for file, (owner, why) in state.failed.items() if owner == table.name]
        failed_files = [file for file, (owner, _) in state.failed.items() if owner == table.name]
        gone = set(state.gone)
        for version in self.current:
            if version.source_file in gone:
                self.warnings.append(
                    f"{version.source_file} is no longer in the source folder; its last good rows are kept"
                )
            if version.contract != table.fingerprint:
                self.warnings.append(
                    f"{version.source_file} was landed under a former contract; what still fits of its rows is kept"
                )
        self._make_rows()
        read: dict[int, int] = {}
        if self.months:
            self._look_at_months(self.months)
        if self.current:
            read = self._find_failing()
            self._quarantine_misfits()
            self._keep_what_was_accepted()
            self._take_off("quarantined", "landing.failing", self._leaving())
            self._tell_apart(self._repeated(sum(read.values())))
        if self.months:
            read = self._keep_months(self.months)
        if self.current:
            self._warn_of_accepted_rows()
            self._warn_of_rows_that_stay()
        self._make_source()
        audits = self._audit(read)
        checks = [*self._results(sum(audit.rows_read for audit in audits)), self._file_check(failed_files, errors)]
        return TableLanding(
            table=table.name, domain=table.domain, rows=sum(audit.rows_accepted for audit in audits),
            bytes=sum(version.bytes for version in self.current), seconds=0.0, files=audits, checks=checks,
            warnings=self.warnings, errors=errors,
        )  # fmt: skip

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _make_rows(self) -> None:
        sql = self.files.rows(self.table, self._resolved(), self._bad_that_stay())
        self.is_copied = self._landed_rows() <= _FEW_ROWS and bool(self.current)
        self.connection.execute(f"create {'table' if self.is_copied else 'view'} {self.rows} as {sql}")

    # -- service months -----------------------------------------------------------------------------------------------

    def _look_at_months(self, months: ServiceMonths) -> None:
        """Find the stale months: those whose rows are tried."""
        months.look_at_references([sql for column in self.table.columns if (sql := self._meaning(column))])
        self._try_stale(months.portion())
        self.connection.execute("create or replace temp table stayed (rule varchar, file_id integer, _row bigint)")
        self.connection.execute(
            "create or replace temp table quarantined as select cast(null as integer) as file_id,"
            " cast(null as bigint) as _row, * from landing.quarantine where false"
        )

    def _try_stale(self, portion: Portion) -> None:
        if portion.where is None:
            self.tried = self.rows
        elif self.is_copied:
            self.tried = f"(select * from {self.rows} where {portion.where})"
        else:
            rows = self.files.rows(self.table, self._resolved(), self._bad_that_stay(), portion=portion)
            self.tried = f"({rows})"

    def _meaning(self, column: Column) -> str | None:
        """SQL (service_month, told) of what the kept values of a column mean now; None if they refer to nothing."""
        if column.references is None or not column.in_files:
            return None
        kept = f"from kept.refs as r {{}} where r.column_name = {literal(column.name)}"
        for target in ("tenants", "users"):
            if refers_to(self.table, column, target):
                known = ", 'slug', t.slug, 'since', t.known" if target == "tenants" else ""
                told = f"concat_ws('|', r.value, 'is', t.id, 'problem', t.problem{known})"
                join = f"left join landing.{target[:-1]}_refs as t on t.ref = r.value"
                return f"select r.service_month, {told} as told {kept.format(join)}"
        there = [
            f"r.value in (select {name(of)} from {self._rows_of(target)} where {name(of)} is not null)"
            for target, of in column.references.targets
        ]
        join, known = "", ""
        if self.whole.cannot_do_without(self.table, column):
            target = name(f"known_{column.references.table}_{column.references.column}")
            join, known = f"left join landing.{target} as k on k.value = r.value", ", k.known"
        told = f"concat_ws('|', r.value, {', '.join(there)}{known})"
        return f"select r.service_month, {told} as told {kept.format(join)}"

    def _keep_months(self, months: ServiceMonths) -> dict[int, int]:
        """Keep what was found, add what is kept, and add the accepted rows up. Tells the rows of each file version."""
        months.keep(self.read_by_month, "stayed", "quarantined", broken=bool(self.broken))
        self.found_failing = self._there_are("landing.failing")
        self.has_excluded = self._there_are("landing.excluded")
        excluded = f"select file_id, _row from landing.excluded where table_name = {literal(self.table.name)}"
        of_tenant = self._resolved({self.table.tenant or "", "tenant_slug"})
        months.add_up(
            lambda portion: self.files.added_up(
                self.table, of_tenant, self._resolved(), excluded, self._bad_that_stay(), portion
            ),
            self._passing,
        )
        read: dict[int, int] = {number: rows for number, month, rows in self.read_by_month if month is None}
        for number, rows in self.connection.execute(
            "select file_id, cast(sum(events) as bigint) from kept.read group by file_id"
        ).fetchall():
            read[number] = read.get(number, 0) + rows
        return read

    def _there_are(self, of: str) -> bool:
        return self._row(f"select count(*) from {of} where table_name = {literal(self.table.name)}")[0] > 0

    def _make_source(self) -> None:
        columns = sqltext.names((*(column.name for column in self.table.columns), *_INTERNAL), "r.")
        self.connection.execute(
            f"create or replace view source.{name(self.table.name)} as select {columns} from {self._passing()} as r"
        )
        if self.table.history:
            history.make(self.connection, self.files, self.table, self._resolved(), self._bad_that_stay())
        for column in sorted(self.whole.needed.get(self.table.name, ())):
            rows = self.rows
            if self.current:
                # A row that its file lacks by now was known all the same.
                rows = f"({self.files.rows(self.table, self._resolved(), self._bad_that_stay(), with_gone=True)})"
            self.connection.execute(
                f"create table landing.{name(f'known_{self.table.name}_{column}')} as"
                f" select r.{name(column)} as value, min(r._known_night) as known from {rows} as r"
                f" where r.{name(column)} is not null and {self._not_excluded('r', 'quarantined')} group by all"
            )

    def _resolved(self, only: Collection[str] | None = None) -> Resolved:
        """How the references of this table's rows `p` are resolved; `only` some columns, if given."""
        items, joins, since = [], [], []
        table = self.table
        for index, column in enumerate(table.columns):
            if only is not None and column.name not in only:
                continue
            quoted, alias = name(column.name), f"t{index}"
            needed = self.whole.cannot_do_without(table, column)
            if refers_to(table, column, "tenants"):
                joins.append(f" left join landing.tenant_refs as {alias} on {alias}.ref = p.{quoted}")
                items.append(f"{alias}.id as {quoted}")
                since += [f"{alias}.known"] if needed else []
            elif refers_to(table, column, "users"):
                joins.append(f" left join landing.user_refs as {alias} on {alias}.ref = p.{quoted}")
                items.append(f"coalesce({alias}.id, p.{quoted}) as {quoted}")
            elif column.name == "tenant_ref" and table.tenant:
                items.append(f"p.{name(table.tenant)} as tenant_ref")
            elif column.name == "tenant_slug" and table.tenant:
                position = [other.name for other in table.columns].index(table.tenant)
                items.append(f"t{position}.slug as tenant_slug")
            elif (table.name, column.name) == ("tenants", "slug"):
                # Where no file brings a slug, it is the name in that form.
                slug = "trim(regexp_replace(lower(p.name), '[^a-z0-9]+', '_', 'g'), '_')"
                items.append(f"coalesce(p.slug, {slug}) as slug")
            else:
                items.append(f"p.{quoted}")
                if only is None and needed and column.references and column.references.table in self.whole.done:
                    target = name(f"known_{column.references.table}_{column.references.column}")
                    joins.append(f" left join landing.{target} as {alias} on {alias}.value = p.{quoted}")
                    since.append(f"{alias}.known")
        return Resolved(", ".join(items), "".join(joins), tuple(since))

    def _bad_that_stay(self) -> list[str]:
        return [rule.column for rule in self.rules if rule.kind == "type" and rule.column and rule.severity == "warn"]

    def _passing(self, among: str | None = None) -> str:
        """SQL of the rows that count as far as is known by now, in parentheses; `among` few rows, if given."""
        rows = self._among(among) if among else self.rows
        if not self.has_excluded:
            return rows
        # A plain join: `not exists` of two columns would first gather all of the rows, in each query that reads them.
        return (
            f"(select r.* from {rows} as r anti join (select file_id, _row from landing.excluded"
            f" where table_name = {literal(self.table.name)}) as e on e.file_id = r.file_id and e._row = r._row)"
        )

    def _among(self, few: str) -> str:
        """SQL of the rows that stand in a relation (file_id, _row) of few rows, in parentheses."""
        if self.is_copied:
            return (
                f"(select r.* from {self.rows} as r semi join {few} as a on a.file_id = r.file_id and a._row = r._row)"
            )
        return f"({self.files.rows(self.table, self._resolved(), self._bad_that_stay(), among=few)})"

    def _not_excluded(self, alias: str, status: str | None = None) -> str:
        which = f" and e.status = {literal(status)}" if status else ""
        return (
            f"not exists (select 1 from landing.excluded as e where e.table_name = {literal(self.table.name)}"
            f" and e.file_id = {alias}.file_id and e._row = {alias}._row{which})"
        )

    # -- rules about single rows --------------------------------------------------------------------------------------

    def _find_failing(self) -> dict[int, int]:
        """Find the rows that break a rule about single rows, and count all: one pass over the table, whatever the
        number of rules. Tells the rows of each file version."""
        tests = [(rule, test) for rule in self.rules if not rule.broken and (test := self._failing(rule))]
        try:
            return self._find(tests)
        except _BROKEN:
            # One of them cannot run: find out which, each on its own.
            if self.months:
                self.months.all_stale()
                self._try_stale(self.months.portion())
            for rule, test in tests:
                try:
                    self.connection.execute(f"select count(*) from {self.rows} where {test}").fetchall()
                except _BROKEN as error:
                    self.broken[rule.rule_id] = str(error).splitlines()[0]
            return self._find([(rule, test) for rule, test in tests if rule.rule_id not in self.broken])

    def _find(self, tests: Sequence[tuple[Rule, str]]) -> dict[int, int]:
        # Counting which files have such rows costs a fraction of listing them, and most have none.
        counts = self._count(tests)
        self.read_by_month = [(number, month, rows) for number, month, rows, _ in counts]
        failing = sorted({number for number, _, _, failed in counts if failed})
        if failing:
            self.found_failing = True
            flags = ", ".join(f"({test}) as f{index}" for index, (_, test) in enumerate(tests))
            any_flag = " or ".join(f"f{index}" for index in range(len(tests)))
            listed = ", ".join(
                f"case when f{index} then {literal(rule.name)} end" for index, (rule, _) in enumerate(tests)
            )
            self.connection.execute(
                f"insert into landing.failing select distinct {literal(self.table.name)}, unnest(broken), file_id, _row"
                f" from (select list_filter([{listed}], lambda rule: rule is not null) as broken, file_id, _row"
                f" from (select file_id, _row, {flags} from {self.tried}"
                f" where file_id in ({', '.join(map(str, failing))})) where {any_flag})"
            )
        read: dict[int, int] = {}
        for number, _, rows in self.read_by_month:
            read[number] = read.get(number, 0) + rows
        return read

    def _count(self, tests: Sequence[tuple[Rule, str]]) -> list[tuple[int, date | None, int, int]]:
        """File version, month, rows and how many of them break a rule."""
        if self.months is None:
            return self._counted(tests, self.tried, "cast(null as date)")
        # Most references are good, and what they mean was looked up already: without them no row needs a join.
        rows = self.files.untold(self.table, self._bad_that_stay(), self.months.portion())
        told = [(rule, test) for rule, test in tests if rule.kind != "reference" or self._has_orphans(rule)]
        if rows is not None and not self.is_copied:
            # A rule may look at what only the joins tell.
            with contextlib.suppress(duckdb.BinderException):
                return self._counted(told, f"({rows})", self.months.month)
        return self._counted(tests, self.tried, self.months.month)

    def _counted(
        self, tests: Sequence[tuple[Rule, str]], rows: str, month: str
    ) -> list[tuple[int, date | None, int, int]]:
        fails = " or ".join(f"({test})" for _, test in tests) or "false"
        return self.connection.execute(
            f"select file_id, {month} as month, count(*), count_if({fails}) from {rows} group by all"
        ).fetchall()

    def _has_orphans(self, rule: Rule) -> bool:
        """Whether a value of the rule's column that the months to be tried hold means nothing."""
        column = self.table.by_name[rule.column or ""]
        if refers_to(self.table, column, "tenants") or refers_to(self.table, column, "users"):
            refs = "tenant_refs" if refers_to(self.table, column, "tenants") else "user_refs"
            values = f"select r.value, t.id from kept.refs as r left join landing.{refs} as t on t.ref = r.value"
            orphan = "id is null"
        else:
            values = f"select r.value as {name(column.name)} from kept.refs as r"
            orphan = self._orphan(column)
        return self._row(
            f"select count(*) from ({values} where r.column_name = {literal(column.name)}) where {orphan}"
        )[0] > 0  # fmt: skip

    def _failing(self, rule: Rule) -> str | None:
        """SQL that is true for a row that breaks the rule; None for rules that are not about single rows."""
        if rule.good is not None:
            return f"not coalesce({rule.good}, true)"
        column = self.table.by_name.get(rule.column or "")
        if column is None:
            return None
        if rule.kind == "type" and rule.severity == "warn":
            return f"coalesce(list_contains(string_split(_bad, ','), {literal(column.name)}), false)"
        if rule.kind == "ambiguous":
            ref = "tenant_ref" if column.name == self.table.tenant else name(column.name)
            return f"{ref} in {_AMBIGUOUS}" if self.whole.has_ambiguous else None
        if rule.kind == "reference" and column.references:
            return self._orphan(column)
        return None

    def _orphan(self, column: Column) -> str:
        """SQL that is true for a row whose reference means nothing that there is."""
        assert column.references is not None
        quoted = name(column.name)
        tests = []
        if refers_to(self.table, column, "tenants"):
            ref = "tenant_ref" if column.name == self.table.tenant else quoted
            tests = [f"{quoted} is null", f"{ref} is not null"]
            tests += [f"{ref} not in {_AMBIGUOUS}"] if self.whole.has_ambiguous else []
        else:
            ref = quoted
            tests.append(f"{quoted} is not null")
            for target, target_column in column.references.targets:
                key = name(target_column)
                tests.append(f"{quoted} not in (select {key} from {self._rows_of(target)} where {key} is not null)")
        if column.references.none:
            tests.append(f"{ref} not in ({', '.join(literal(value) for value in column.references.none)})")
        return " and ".join(tests)

    def _rows_of(self, target: str) -> str:
        if target == self.table.name:
            return self.rows
        if target in self.whole.done:
            return f"source.{name(target)}"
        # Two tables that refer to each other: the second's rows are not known yet, its landed values are.
        table = self.whole.contracts.tables[target]
        numbers = self.files.numbers(table)
        if numbers:
            return f"({self.files.parts(table, numbers)})"
        columns = ", ".join(f"cast(null as {column.data_type}) as {name(column.name)}" for column in table.columns)
        return f"(select {columns} where false)"

    def _leaving(self) -> str:
        names = {rule.name for rule in self.rules if rule.severity != "warn"}
        return f"x.rule in ({', '.join(literal(rule) for rule in sorted(names))})" if names else "false"

    def _keep_what_was_accepted(self) -> None:
        """In tables whose rows stay, a row that a completed night accepted stays though it breaks a rule by now: what
        was billed by it would change. Whoever changed the rule, or what the row refers to, is told."""
        nights = self.whole.state.nights
        if not self.table.rows_stay:
            return
        self.connection.execute("create or replace temp table stayed (rule varchar, file_id integer, _row bigint)")
        if not (nights and self.found_failing):
            return
        failing = f"select file_id, _row from landing.failing where table_name = {literal(self.table.name)}"
        kept = (
            f"x.table_name = {literal(self.table.name)} and {self._leaving()}"
            f" and exists (select 1 from {self._among(f'({failing})')} as r where"
            f" r.file_id = x.file_id and r._row = x._row and r._known_night <= {day(nights[-1].night)})"
        )
        self.connection.execute(
            "create or replace temp table stayed as select x.rule, x.file_id, x._row from landing.failing as x"
            f" where {kept}"
        )
        self.connection.execute(
            f"delete from landing.failing as x using stayed as s where x.table_name = {literal(self.table.name)}"
            " and x.rule = s.rule and x.file_id = s.file_id and x._row = s._row"
        )

    def _warn_of_accepted_rows(self) -> None:
        if not self.table.rows_stay:
            return
        stayed = "kept.stayed" if self.months else "(select rule, count(*) as events from stayed group by rule)"
        for rule, count in self.connection.execute(
            f"select rule, cast(sum(events) as bigint) from {stayed} group by rule order by rule"
        ).fetchall():
            rows = "1 row that an earlier night accepted breaks" if count == 1 else (
                f"{count} rows that an earlier night accepted break"
            )  # fmt: skip
            self.warnings.append(f"{rows} {rule} by now; they stay accepted")

    def _take_off(self, status: str, found: str, where: str) -> None:
        """Take the rows that broke a rule of severity quarantine or block off the accepted ones, into the
        quarantine."""
        if not self.found_failing:
            return
        table = literal(self.table.name)
        taken = self._changed(
            f"insert into landing.excluded select distinct {table}, x.file_id, x._row, {literal(status)}"
            f" from {found} as x where x.table_name = {table} and {where}"
        )
        if taken:
            self.has_excluded = True
            self._into_quarantine(found, f"x.table_name = {table} and {where}")

    def _into_quarantine(self, found: str, where: str) -> None:
        """Write rows (file_id, _row, rule) into the quarantine, with what each rule says of them."""
        table = self.table
        rules = [rule for rule in self.by_name.values() if rule.severity != "warn"]
        columns = " ".join(f"when {literal(rule.name)} then {literal(rule.column)}" for rule in rules if rule.column)
        reasons = " ".join(f"when {literal(rule.name)} then {literal(rule.reason)}" for rule in rules)
        values = " ".join(f"when {literal(rule.name)} then {self._shown(rule)}" for rule in rules if rule.column)
        received = [c.name for c in table.columns if c.origin != "derived" or c.name == "tenant_ref"]
        fields = ", ".join(f"{literal(column)}: r.{name(column)}" for column in received)
        leaving = (
            f"select {'x.file_id, x._row, ' if self.months else ''}{literal(table.name)} as table_name,"
            " r._source_file as source_file, r._source_line as source_line, x.rule as rule,"
            f" {f'case x.rule {columns} end' if columns else 'null'} as column_name,"
            f" {f'case x.rule {values} end' if values else 'null'} as value,"
            f" case x.rule {reasons} end as reason, cast(to_json({{{fields}}}) as varchar) as row_json,"
            f" {when_sql(table, 'r.') or 'cast(null as timestamp)'} as received_at"
            f" from {found} as x join {self._among(f'(select file_id, _row from {found} as x where {where})')} as r"
            f" on r.file_id = x.file_id and r._row = x._row where {where}"
        )
        if self.months:
            self.connection.execute(f"create or replace temp table leaving as {leaving}")
            self.connection.execute("insert into quarantined from leaving")
            leaving = "select * exclude (file_id, _row) from leaving"
        self.connection.execute(f"insert into landing.quarantine {leaving}")

    def _shown(self, rule: Rule) -> str:
        """SQL of the value that a rule is about."""
        if rule.kind == "key":
            return "concat_ws(', ', " + ", ".join(f"cast(r.{name(c)} as varchar)" for c in self.table.key) + ")"
        of_tenant = rule.column == self.table.tenant and rule.kind in ("reference", "ambiguous")
        return f"cast(r.{name('tenant_ref' if of_tenant else rule.column or '')} as varchar)"

    # -- what did not fit the contract --------------------------------------------------------------------------------

    def _quarantine_misfits(self) -> None:
        """Quarantine what could not be read: rows with values of the wrong type, and lines that are no rows."""
        misfits = [version for version in self.current if version.misfits]
        if misfits:
            self._quarantine_wrong_types([self.files.number(version) for version in misfits])
        for version in self.current:
            if version.rejects:
                self.connection.execute(
                    f"insert into landing.quarantine select {literal(self.table.name)},"
                    f" {literal(version.source_file)}, line, 'malformed_row', null, text, error,"
                    " cast(to_json({'_line': text}) as varchar), null"
                    f" from read_parquet({sqltext.path(rejects_path(self.part(version)))})"
                )
                self._count_misfits(version.source_file, version.rejects)

    def _quarantine_wrong_types(self, numbers: Sequence[int]) -> None:
        table = self.table
        rules = {rule.column or MALFORMED: rule for rule in self.rules if rule.kind in ("type", "malformed")}
        stay = ", ".join(literal(column) for column in self._bad_that_stay())
        named = " ".join(f"when {literal(column)} then {literal(rule.name)}" for column, rule in rules.items())
        reasons = " ".join(
            f"when {literal(column)} then {literal(rule.reason)}" for column, rule in rules.items() if rule.column
        )
        when = when_sql(table, "p.") or "cast(null as timestamp)"
        # A row without its time, wrong as it may be, is known with its file.
        known_night = f"case when cast({when} as date) > coalesce(p.completed_before, date '-infinity')"
        known_night += f" then cast({when} as date) else p.accepted end"
        stays = f"list_has_all([{stay}], string_split(p._bad, ','))" if stay else "false"
        self.connection.execute(
            f"""
            create or replace temp table misfits as
            select p.source_file, {self.files.line(numbers)} as source_line, {when} as received_at, p._bad, p._raw
            from ({self.files.parts(table, numbers)}) as p
            where p._bad is not null and not {stays} and {known_night} <= {day(self.whole.state.night)}
            """
        )
        self.connection.execute(
            f"""
            insert into landing.quarantine
            select {literal(table.name)}, source_file, source_line, case bad {named} else 'malformed_row' end,
                nullif(bad, '{MALFORMED}'),
                case when bad = '{MALFORMED}' then _raw else json_extract_string(_raw, '$."' || bad || '"') end,
                case bad when '{MALFORMED}' then 'the line is not a JSON object; write one object a line'
                    {reasons} else 'the text holds a NUL byte; remove it' end,
                case when json_valid(_raw) then _raw else cast(to_json({{'_line': _raw}}) as varchar) end, received_at
            from (select *, unnest(string_split(_bad, ',')) as bad from misfits)
            where bad not in ({stay or "''"})
            """
        )
        counts = self.connection.execute("select source_file, count(*) from misfits group by source_file").fetchall()
        for file, count in counts:
            self._count_misfits(file, count)
        self.connection.execute("drop table misfits")

    def _count_misfits(self, file: str, rows: int) -> None:
        self.quarantined_misfits[file] = self.quarantined_misfits.get(file, 0) + rows

    # -- rules about sets of rows -------------------------------------------------------------------------------------

    def _repeated(self, rows: int) -> dict[str, str]:
        """The rules about sets of rows whose columns have the same values in several of the rows, and for each the
        temporary table of the rows (file_id, _row) that have them.

        Most keys are unique, and hashes tell that much sooner than comparing rows does. Rows that are off already are
        looked at too: a rule that looks for nothing then costs one more look.
        """
        columns_of: dict[str, list[str]] = {}
        for rule in self.rules:
            if rule.kind == "key":
                columns_of[rule.rule_id] = versions.hashed_columns(self.table)
            elif rule.kind == "unique" and not rule.broken:
                columns_of[rule.rule_id] = versions.unique_columns(self.table, rule.params["columns"])
        found = dict.fromkeys(columns_of, True)
        if columns_of and rows <= _FEW_HASHES:
            counts = list(dict.fromkeys(f"count(distinct hash({', '.join(c)}))" for c in columns_of.values()))
            total, *distinct = self._row(f"select count(*), {', '.join(counts)} from {self.tried}")
            of = dict(zip(counts, distinct, strict=True))
            found = {rule: of[f"count(distinct hash({', '.join(c)}))"] < total for rule, c in columns_of.items()}
        candidates = {}
        for index, rule_id in enumerate(rule_id for rule_id, is_repeated in found.items() if is_repeated):
            looked_at, columns, target = self._columns_of(rule_id), columns_of[rule_id], f"candidates_{index}"
            if versions.find_repeated(self.connection, looked_at, rows, columns, "repeated"):
                versions.find_candidates(self.connection, looked_at, columns, "repeated", target)
                candidates[rule_id] = target
        return candidates

    def _columns_of(self, rule_id: str) -> str:
        """SQL of the rows with what a rule about sets of rows looks at, in parentheses or a name."""
        if self.is_copied:
            return self.tried
        rule = next(rule for rule in self.rules if rule.rule_id == rule_id)
        only = {*self.table.key, "occurred_at"} if rule.kind == "key" else set(rule.params["columns"])
        only |= {"tenant_ref"} if self.table.tenant in only else set()
        portion = self.months.portion() if self.months else None
        return f"({self.files.with_columns(self.table, self._resolved(only), portion)})"

    def _landed_rows(self) -> int:
        return sum(version.rows for version in self.whole.state.versions if version.table == self.table.name)

    def _tell_apart(self, candidates: Mapping[str, str]) -> None:
        """Tell the rows of one key apart, then find those that break `unique`: among the candidates of each rule."""
        table = literal(self.table.name)
        for rule in self.rules:
            if rule.kind == "key" and rule.rule_id in candidates:
                passing = self._passing(candidates[rule.rule_id])
                versions.find_same_key(self.connection, self.table, passing, "told")
                counted = self._changed(
                    f"insert into landing.excluded select {table}, file_id, _row, status from told"
                    f" where status <> 'quarantined'"
                )
                self.has_excluded = self.has_excluded or counted > 0
                if self.table.duplicates == "first_known":
                    self.connection.execute(
                        f"insert into landing.duplicates select {table}, month, count(*) from told"
                        " where status = 'duplicate' group by month"
                    )
                self._note("told", "status = 'quarantined'", rule)
        for rule in self.rules:
            if rule.kind == "unique" and rule.rule_id in candidates:
                passing = self._passing(candidates[rule.rule_id])
                versions.find_copies(self.connection, self.table, rule.params["columns"], passing, "told")
                self._note("told", "true", rule)

    def _note(self, found: str, where: str, rule: Rule) -> None:
        """Note the rows that break a rule about sets of rows, and take them off unless it only warns."""
        noted = self._changed(
            f"insert into landing.failing select {literal(self.table.name)}, {literal(rule.name)}, file_id, _row"
            f" from {found} where {where}"
        )
        if noted:
            self.found_failing = True
            if rule.severity != "warn":
                self._take_off("quarantined", "landing.failing", f"x.rule = {literal(rule.name)}")
        self.connection.execute(f"drop table {found}")

    def _warn_of_rows_that_stay(self) -> None:
        """Rows that a later version of their file lacks stay accepted in some tables; whoever removed them is told."""
        if not self.table.rows_stay:
            return
        counted = self._row(f"select count(*) from {self._passing()} as r where r._stays")
        if not counted[0]:
            return
        shown = [c.name for c in self.table.file_columns if not c.personal]
        fields = ", ".join(f"{literal(column)}: r.{name(column)}" for column in shown)
        rows = self.connection.execute(
            f"select r._source_file, cast(to_json({{{fields}}}) as varchar) from {self._passing()} as r where r._stays"
            f" order by r._source_file, r._source_line limit {_SAMPLES}"
        ).fetchall()
        told = []
        for file, row in rows:
            values = ", ".join(f"{column}={value}" for column, value in json.loads(row).items() if value is not None)
            told.append(f"{file} ({values})")
        what = "1 row is no longer in its file; it stays" if counted[0] == 1 else (
            f"{counted[0]} rows are no longer in their file; they stay"
        )  # fmt: skip
        self.warnings.append(f"{what} accepted: {'; '.join(told)}")

    # -- results ------------------------------------------------------------------------------------------------------

    def _audit(self, read: Mapping[int, int]) -> list[FileAudit]:
        files = {number: version.source_file for number, version in enumerate(self.files.versions)}
        rows: dict[str, int] = dict.fromkeys((version.source_file for version in self.current), 0)
        for number, count in read.items():
            rows[files[number]] = rows.get(files[number], 0) + count
        taken: dict[tuple[str, str], int] = {}
        if self.has_excluded:
            for number, status, count in self.connection.execute(
                "select file_id, status, count(*) from (select file_id, _row, max(status) as status"
                f" from landing.excluded where table_name = {literal(self.table.name)} group by file_id, _row)"
                " group by file_id, status"
            ).fetchall():
                taken[files[number], status] = taken.get((files[number], status), 0) + count
        audits = []
        for file in sorted(rows):
            misfits = self.quarantined_misfits.get(file, 0)
            total, quarantined = rows[file] + misfits, taken.get((file, "quarantined"), 0) + misfits
            duplicate, superseded = taken.get((file, "duplicate"), 0), taken.get((file, "superseded"), 0)
            accepted = total - quarantined - duplicate - superseded
            audits.append(FileAudit(file, total, accepted, quarantined, duplicate, superseded))
        return audits

    def _results(self, rows_checked: int) -> list[CheckResult]:
        found = self._found()
        results: dict[str, CheckResult] = {}
        for rule in self.rules:
            if rule.rule_id in results:
                continue
            if rule.broken or rule.rule_id in self.broken:
                results[rule.rule_id] = _broken(rule, self.broken.get(rule.rule_id))
                continue
            failed, samples = found.get(rule.name, (0, []))
            results[rule.rule_id] = CheckResult(
                rule_id=rule.rule_id, table=self.table.name, column=rule.column, kind=rule.kind, severity=rule.severity,
                status="fail" if failed else "pass", rows_checked=rows_checked, rows_failed=failed, sample_keys=samples,
                sql=self._sql(rule), params=dict(rule.params),
                message=f"{failed} row{'s' if failed > 1 else ''}: {rule.reason}" if failed else "",
            )  # fmt: skip
        return list(results.values())

    def _found(self) -> dict[str, tuple[int, list[str]]]:
        """For each rule that found something: how many rows, and where some of them stand."""
        table, found = literal(self.table.name), dict[str, tuple[int, list[str]]]()
        shown = [column for column in self.table.key if not self.table.by_name[column].personal]
        rows: list[tuple[Any, ...]] = []
        ranked = f"row_number() over (partition by rule order by file, line) <= {_SAMPLES}"
        if self.quarantined_misfits or self.has_excluded:
            keys = ", ".join(f"json_extract_string(row_json, {literal(f'$.{json.dumps(column)}')})" for column in shown)
            rows += self.connection.execute(
                f"select *, count(*) over (partition by rule) as n from (select rule, source_file as file,"
                f" source_line as line, [{keys}] as keys from landing.quarantine where table_name = {table})"
                f" qualify {ranked} order by rule, file, line"
            ).fetchall()
        warned = [rule.name for rule in self.rules if rule.severity == "warn"]
        if self.found_failing and warned:
            failing = (
                f"(select rule, file_id, _row from landing.failing where table_name = {table}"
                f" and rule in ({', '.join(map(literal, warned))}))"
            )
            keys = ", ".join(f"cast(r.{name(column)} as varchar)" for column in shown)
            rows += self.connection.execute(
                f"select *, count(*) over (partition by rule) as n from (select x.rule, r._source_file as file,"
                f" r._source_line as line, [{keys}] as keys from {failing} as x join {self._among(failing)} as r"
                f" on r.file_id = x.file_id and r._row = x._row) qualify {ranked} order by rule, file, line"
            ).fetchall()
        for rule, file, line, keys_of_row, count in rows:
            keyed = zip(shown, keys_of_row, strict=True)
            told = ", ".join(f"{column}={value}" for column, value in keyed if value is not None)
            found.setdefault(rule, (count, []))[1].append(f"{file}:{line}{f' ({told})' if told else ''}")
        return found

    def _sql(self, rule: Rule) -> str:
        """SQL that finds all rows that break a rule: in the published file wherever they are there."""
        table, quoted = self.table, name(self.table.name)
        if rule.severity != "warn" or rule.kind == "malformed":
            return f"select * from quarantine where table_name = {literal(table.name)} and rule = {literal(rule.name)}"
        column = table.by_name.get(rule.column or "")
        if not table.published or rule.kind in ("type", "key") or (column is not None and column.personal):
            # Not in the published file, or masked there.
            return (
                "-- in warehouse.duckdb\n"
                f"select r.* from landing.failing as x join {self.rows} as r"
                " on r.file_id = x.file_id and r._row = x._row"
                f" where x.table_name = {literal(table.name)} and x.rule = {literal(rule.name)}"
            )
        if rule.good is not None:
            return f"select * from {quoted} where not coalesce({rule.good}, true)"
        if rule.kind == "reference" and column is not None and column.references is not None:
            reference, value = column.references, name(column.name)
            if refers_to(table, column, "tenants"):
                value = "tenant_ref" if column.name == table.tenant else value
                tests = [f"{name(column.name)} is null and {value} is not null"]
            else:
                tests = [f"{value} is not null"]
                for target, of in reference.targets:
                    values = f"select {name(of)} from {name(target)} where {name(of)} is not null"
                    tests.append(f"{value} not in ({values})")
            if reference.none:
                tests.append(f"{value} not in ({', '.join(literal(nothing) for nothing in reference.none)})")
            return f"select * from {quoted} where {' and '.join(tests)}"
        if rule.kind == "unique":
            columns = sqltext.names(rule.params["columns"])
            return f"select {columns}, count(*) from {quoted} group by {columns} having count(*) > 1"
        return f"select * from {quoted} where tenant_ref is not null and {name(rule.column or '')} is null"

    def _file_check(self, failed: Sequence[str], errors: Sequence[str]) -> CheckResult:
        """Whether every file of the table could be landed."""
        rule_id = f"{self.table.name}.files_landed"
        severity = self.whole.expectations.severity(rule_id, "block" if self.table.night_ends_without else "warn")
        return CheckResult(
            rule_id=rule_id, table=self.table.name, column=None, kind="files", severity=severity,
            status="fail" if errors else "pass", rows_checked=len(self.current) + len(errors), rows_failed=len(errors),
            sample_keys=list(failed), sql="", message="; ".join([*errors, *self.warnings]),
        )  # fmt: skip

    # -- small helpers ------------------------------------------------------------------------------------------------

    def part(self, version: FileVersion) -> Path:
        return self.whole.part(version)

    def _row(self, sql: str) -> tuple[int, ...]:
        row = self.connection.execute(sql).fetchone()
        return row or (0,)

    def _changed(self, sql: str) -> int:
        """Run an insert and tell how many rows it inserted."""
        return self._row(sql)[0]


def refers_to(table: Table, column: Column, target: Literal["tenants", "users"]) -> bool:
    """Whether a column's values are resolved to ids of tenants or of users."""
    return column.references is not None and column.references.to == f"{target}.id" and table.name != target


def _broken(rule: Rule, why: str | None = None) -> CheckResult:
    return CheckResult(
        rule_id=rule.rule_id, table=rule.table, column=rule.column, kind=rule.kind, severity=rule.severity,
        status="broken", rows_checked=0, rows_failed=0, sample_keys=[], sql="",
        message=f"broken rule: {why or rule.broken}", params=dict(rule.params),
    )  # fmt: skip


__all__ = ["CheckResult", "FileAudit", "State", "TableLanding", "known", "validate"]
