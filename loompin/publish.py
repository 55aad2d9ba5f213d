"""From the private warehouse to the file that analysts open: built anew beside it, checked, put in place by a rename.

The new file never starts as a copy of one that holds texts or raw values, so no page of it, in use or free, ever held
one that is gone (`published_months` says what it starts with). Whoever has the old file open keeps reading it: a rename
takes nothing from them. Masking is done by the marts; this module checks that it was, and publishes nothing if not.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from loompin import contracts as contracts_module
from loompin import database_files, landing, line_events
from loompin.contracts import Contracts
from loompin.digests import digest_sql
from loompin.line_events import LineEvents
from loompin.privacy import PSEUDONYM_PATTERN
from loompin.published_months import BY_MONTH, DIGESTS_BY_MONTH, PublishedMonths
from loompin.record import Record, sync_folder
from loompin.rules import Expectations, read_expectations
from loompin.settings import DBT_PROJECT, Settings
from loompin.sqltext import literal, name

RUN_TABLES = ("data_as_of", "data_quality", "load_audit")
"""Tables that record runs: two computations of one night may differ in them."""

STEPS_READ = ("int_billing_quarantine", "int_billing_rules")
"""What dbt says of rows that the loader accepted and billing refuses; the rules' names stand in the second."""

_PSEUDONYMISED = ("email", "name", "ip", "token")
_EMAIL = '[^\\s@<>()\\[\\],;:"/=?&]+@[\\w-]+(?:\\.[\\w-]+)+'

# What the file says of the tables that do not come from dbt: the table, then its columns.
_RUN_TABLES = {
    "quarantine": (
        "One row per failed row and rule: what is wrong with rows that failed, and where they stand in the sources.",
        {
            "table_name": "Table that the row was meant for.",
            "source_file": "File of the row, relative to the source folder.",
            "source_line": "Line of the row in the file, from 1.",
            "rule": "Rule that failed, a name of its table.",
            "column_name": "Column that the rule looks at.",
            "value": "The value as it stands in the file; NULL where the table has personal data.",
            "reason": "What is wrong with it.",
            "row_json": "The whole row as it stands in the file; NULL where the table has personal data.",
            "received_at": "When the platform received the row, UTC.",
        },
    ),
    "load_audit": (
        "One row per table and file: rows_read = rows_accepted + rows_quarantined + rows_duplicate + rows_superseded.",
        {
            "table_name": "Table of the file.",
            "source_file": "File, relative to the source folder.",
            "night": "Night that the counts are of.",
            "rows_read": "Rows in the file.",
            "rows_accepted": "Rows that count.",
            "rows_quarantined": "Rows that failed a rule.",
            "rows_duplicate": "Rows that another row repeats.",
            "rows_superseded": "Rows that a later version replaces.",
        },
    ),
    "data_quality": (
        "One row per rule: what it found in this night.",
        {
            "night": "Night that was checked.",
            "rule_id": "Rule, as table.rule.",
            "table_name": "Table that the rule is of.",
            "column_name": "Column that the rule looks at.",
            "severity": "warn (the row stays), quarantine (the row leaves) or block (the night ends).",
            "status": "pass, fail, or broken (the rule could not run and flagged no row).",
            "rows_checked": "Rows that the rule looked at.",
            "rows_failed": "Rows that failed it.",
        },
    ),
    "data_as_of": (
        "One row: the night that this file holds, and the run that made it.",
        {
            "night": "UTC date at whose end everything in this file was known.",
            "run_id": "Dagster run that published the file.",
            "published_at": "When the file was built, UTC.",
            "code_version": "Version of the project that built it.",
            "duckdb_version": "Version of DuckDB that wrote it.",
        },
    ),
}


class NotPublishable(Exception):
    """The new file did not pass its checks; the message says which. The published file is as before."""


@dataclass(frozen=True)
class Published:
    """A publication: `working` is the file as it was built, `path` where it belongs; `digests` tell its content."""

    night: date
    run_id: str
    path: Path
    working: Path
    tables: int
    rows: int
    bytes: int
    seconds: float
    digests: dict[str, str]


@dataclass(frozen=True)
class Standing:
    """What the published file says of itself."""

    night: date
    run_id: str


def published_as(settings: Settings) -> Standing | None:
    """The night that the published file holds; None if there is none, or it cannot be read."""
    if not settings.published.exists():
        return None
    try:
        with contextlib.closing(duckdb.connect(str(settings.published), read_only=True)) as connection:
            row = connection.execute("select night, run_id from data_as_of").fetchone()
    except duckdb.Error:
        return None
    return Standing(row[0], row[1]) if row else None


def marts() -> list[str]:
    """The tables that dbt makes for users: the names of the files under `models/marts`."""
    return sorted(path.stem for path in (DBT_PROJECT / "models" / "marts").rglob("*.sql"))


def build(
    settings: Settings,
    warehouse: Path,
    night: date,
    run_id: str,
    code_version: str,
    *,
    expected: Collection[str] | None = None,
    contracts: Contracts | None = None,
    expectations: Expectations | None = None,
    published_months: Path | None = None,
) -> Published:
    """Build and check a new file beside the published one, from the schemas `main` and `landing` of a warehouse.

    The file that stands is not touched; `put` replaces it. What a killed run left is removed first. Tables of the
    warehouse that are no mart (any more) are not published. `expected` are the marts, `contracts` those of the sources,
    `expectations` give the severities of the rules that billing checks. `published_months` is where the months stand
    that did not change: their rows were looked at by the night that published them first. All rows are written and
    looked at if it is not given.

    Raises:
        NotPublishable: a table is missing or incomplete, a raw personal value was found, a file's rows do not add up,
            or billing refused a row under a rule that blocks.
    """
    started = time.perf_counter()
    folder = settings.published.parent
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".analytics.*"):
        left.unlink()
    working = folder / f".analytics.{secrets.token_hex(4)}.duckdb"
    contracts = contracts or contracts_module.load()
    expectations = expectations or read_expectations()
    expected = marts() if expected is None else expected
    months = PublishedMonths(published_months, settings.scratch)
    try:
        there = months.begin(working, warehouse, expected)
        with contextlib.closing(landing.connect(temp=settings.scratch, database=working)) as connection:
            connection.execute(f"attach {literal(str(warehouse))} as warehouse (read_only)")
            views = _require(connection, expected)
            tables = [table for table in expected if table not in views and table != line_events.TABLE]
            counts = _copy_marts(connection, tables, there)
            _judge_billing(connection, expectations, night)
            counts |= _copy_run_tables(connection, contracts, night, run_id, code_version)
            contents = _read(connection, contracts, months)
            _check_counts(counts, contents)
            _check_masked(connection, contracts, contents, tables)
            events = _link_line_events(connection, settings) if line_events.TABLE in expected else None
            made = _views(connection, views)
            connection.execute("detach warehouse")
            _make_views(connection, made)
            connection.execute("checkpoint")
        _check_readable(working, set(counts), views, events, night)
        months.keep()
    except BaseException:
        database_files.discard(working)
        raise
    return Published(
        night=night,
        run_id=run_id,
        path=settings.published,
        working=working,
        tables=len(contents),
        rows=sum(content.rows for content in contents.values()),
        bytes=working.stat().st_size,
        seconds=time.perf_counter() - started,
        digests={
            **{table: content.digest for table, content in contents.items() if table not in RUN_TABLES},
            **({line_events.TABLE: events.digest} if events else {}),
        },
    )


def put(published: Published) -> None:
    """Put a built file in the place of the published one: atomic, and on the disk when this returns."""
    descriptor = os.open(published.working, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    published.working.chmod(0o644)
    published.working.replace(published.path)
    sync_folder(published.path.parent)


def discard(published: Published) -> None:
    """Remove a built file that was not put in place."""
    database_files.discard(published.working)


def _require(connection: duckdb.DuckDBPyConnection, expected: Collection[str]) -> list[str]:
    """Every mart is in the warehouse; those that are views, the events of invoice lines aside."""
    found = dict(
        connection.execute(
            "select table_name, table_type from information_schema.tables"
            " where table_catalog = 'warehouse' and table_schema = 'main'"
        ).fetchall()
    )
    missing = sorted(set(expected) - found.keys())
    if missing:
        raise NotPublishable(f"the warehouse lacks the tables {', '.join(missing[:5])}; derive them first")
    steps = {
        table for (table,) in connection.execute(
            "select table_name from information_schema.tables"
            " where table_catalog = 'warehouse' and table_schema = 'intermediate'"
        ).fetchall()
    }  # fmt: skip
    missing = sorted(set(STEPS_READ) - steps)
    if missing:
        raise NotPublishable(f"the warehouse lacks {' and '.join(missing)}; derive the models of billing first")
    return sorted(table for table in expected if found[table] != "BASE TABLE" and table != line_events.TABLE)


def _views(connection: duckdb.DuckDBPyConnection, views: Collection[str]) -> dict[str, str]:
    """SQL that makes each view with its comments: as in the warehouse, but for the name of the database."""
    texts = dict(
        connection.execute(
            "select view_name, sql from duckdb_views() where database_name = 'warehouse' and schema_name = 'main'"
        ).fetchall()
    )
    comments = _comments(connection)
    return {
        view: texts[view].replace("warehouse.main.", "main.") + "; ".join(_commenting(comments, [view], "view"))
        for view in sorted(views)
    }


def _make_views(connection: duckdb.DuckDBPyConnection, views: dict[str, str]) -> None:
    """Make the views over published tables: they hold no rows, so that there is nothing to mask in them.

    The warehouse is not attached any more, so that a view that reads anything else (the sources, unmasked) fails.
    """
    for view, sql in views.items():
        try:
            connection.execute(sql)
        except duckdb.Error as error:
            raise NotPublishable(
                f"the view {view} reads more than published tables; it must be materialized as a table"
            ) from error


def _link_line_events(connection: duckdb.DuckDBPyConnection, settings: Settings) -> LineEvents:
    """Write which events each line bills, what is new of it, and the view over it with its comments."""
    nights = Record(settings.raw).nights()
    completed = nights[-1].night if nights else None
    try:
        found = line_events.write(connection, line_events.folder_of(settings.published), completed)
    except line_events.Incomplete as error:
        raise NotPublishable(str(error)) from error
    line_events.view(connection, found)
    connection.execute("; ".join(_commenting(_comments(connection), [line_events.TABLE], "view")))
    return found


def _copy_marts(
    connection: duckdb.DuckDBPyConnection, expected: Collection[str], there: Collection[str]
) -> dict[str, int]:
    """Copy the marts that are not there yet, and all comments; the rows that each has in the warehouse."""
    run = connection.execute
    comments = _comments(connection)
    run("begin")
    for table in sorted(set(expected) - set(there)):
        run(f"create table {name(table)} as from warehouse.main.{name(table)}")
    run("; ".join(_commenting(comments, expected)))
    run("commit")
    counts = " union all ".join(
        f"select {literal(table)}, count(*) from warehouse.main.{name(table)}" for table in expected
    )
    return dict(run(counts).fetchall())


def _comments(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], str]:
    """The comments of the marts in the warehouse, by table (or view) and column; the empty one is the table's own."""
    found = connection.execute(
        "select table_name, '' as column_name, comment from duckdb_tables()"
        " where database_name = 'warehouse' and schema_name = 'main'"
        " union all select view_name, '', comment from duckdb_views()"
        " where database_name = 'warehouse' and schema_name = 'main'"
        " union all select table_name, column_name, comment from duckdb_columns()"
        " where database_name = 'warehouse' and schema_name = 'main'"
    ).fetchall()
    return {(table, column): comment for table, column, comment in found if comment is not None}


def _commenting(comments: dict[tuple[str, str], str], wanted: Collection[str], kind: str = "table") -> list[str]:
    """Statements that put comments on some tables, or views."""
    return [
        f"comment on {f'column {name(table)}.{name(column)}' if column else f'{kind} {name(table)}'} is {literal(told)}"
        for (table, column), told in comments.items()
        if table in wanted
    ]


def _judge_billing(connection: duckdb.DuckDBPyConnection, expectations: Expectations, night: date) -> None:
    """Temporary tables of what billing says of the accepted rows: `billing_rules`, and `billing_refused` as they leave.

    A rule of severity warn only counts, and its rows stay.
    """
    run = connection.execute
    rules = run("select table_name, rule from warehouse.intermediate.int_billing_rules order by all").fetchall()
    severities = ", ".join(
        f"({literal(table)}, {literal(rule)}, {literal(expectations.severity(f'{table}.{rule}'))})"
        for table, rule in rules
    )
    run(
        f"""
        create temp table billing_rules as
        select date {literal(night.isoformat())} as night, table_name || '.' || rule as rule_id, table_name, rule,
            told.column_name, given.severity,
            case when coalesce(broken.rows_failed, 0) = 0 then 'pass' else 'fail' end as status,
            coalesce(loaded.rows_checked, 0) as rows_checked, coalesce(broken.rows_failed, 0) as rows_failed
        from warehouse.intermediate.int_billing_rules as told
        join (values {severities}) as given (table_name, rule, severity) using (table_name, rule)
        left join (
            select table_name, rule, count(*) as rows_failed
            from warehouse.intermediate.int_billing_quarantine group by all
        ) as broken using (table_name, rule)
        left join (
            select table_name, cast(sum(rows_accepted) as bigint) as rows_checked from warehouse.landing.load_audit
            group by all
        ) as loaded using (table_name)
        """
    )
    blocking = run(
        "select rule_id || ': ' || rows_failed || ' rows' from billing_rules"
        " where severity = 'block' and rows_failed > 0 order by rule_id"
    ).fetchall()
    if blocking:
        raise NotPublishable("; ".join(told for (told,) in blocking))
    run(
        "create temp table billing_refused as"
        " select refused.* from warehouse.intermediate.int_billing_quarantine as refused"
        " join billing_rules using (table_name, rule) where billing_rules.severity <> 'warn'"
    )


def _copy_run_tables(
    connection: duckdb.DuckDBPyConnection, contracts: Contracts, night: date, run_id: str, code_version: str
) -> dict[str, int]:
    """Copy what the loader and billing say of the night, without raw values; the rows that each table should have."""
    run = connection.execute
    personal = ", ".join(literal(table.name) for table in contracts.tables.values() if table.has_personal_data)
    hidden = f"case when table_name in ({personal or 'null'}) then null else {{0}} end as {{0}}"
    columns = {table: ", ".join(columns) for table, (_, columns) in _RUN_TABLES.items()}
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ")
    run("begin")
    run(
        "create table quarantine as select table_name, source_file, source_line, rule, column_name,"
        f" {hidden.format('value')}, reason, {hidden.format('row_json')}, received_at"
        f" from (select {columns['quarantine']} from warehouse.landing.quarantine"
        f" union all select {columns['quarantine']} from billing_refused) order by all"
    )
    # A row that billing refuses was accepted by the loader; it breaks one rule, so refusals are rows.
    run(
        "create table load_audit as select table_name, source_file, night, rows_read,"
        " rows_accepted - coalesce(refused, 0) as rows_accepted,"
        " rows_quarantined + coalesce(refused, 0) as rows_quarantined, rows_duplicate, rows_superseded"
        " from warehouse.landing.load_audit"
        " left join (select table_name, source_file, count(*) as refused from billing_refused group by all)"
        " using (table_name, source_file) order by all"
    )
    run(
        f"create table data_quality as select {columns['data_quality']} from warehouse.landing.data_quality"
        f" union all select {columns['data_quality']} from billing_rules order by all"
    )
    # Constants rather than parameters: with a date as a parameter DuckDB imports pandas, which takes seconds.
    run(
        f"create table data_as_of as select date {literal(night.isoformat())} as night, {literal(run_id)} as run_id,"
        f" timestamp {literal(now)} as published_at, {literal(code_version)} as code_version,"
        f" {literal(duckdb.__version__)} as duckdb_version"
    )
    for table, (about, columns_told) in _RUN_TABLES.items():
        told = {(table, column): text for column, text in {"": about, **columns_told}.items()}
        run("; ".join(_commenting(told, [table])))
    run("commit")
    _check_conservation(connection)
    counts = " union all ".join(
        f"select {literal(table)}, (select count(*) from warehouse.landing.{table}) + (select count(*) from {more})"
        for table, more in (("quarantine", "billing_refused"), ("data_quality", "billing_rules"))
    )
    audited = "select 'load_audit', count(*) from warehouse.landing.load_audit"
    expected = dict(run(f"{counts} union all {audited}").fetchall())
    run("drop table billing_refused; drop table billing_rules")
    return {**expected, "data_as_of": 1}


def _check_conservation(connection: duckdb.DuckDBPyConnection) -> None:
    """Every file's rows add up, and every row that billing refuses was taken off the accepted ones of its file."""
    wrong = _first(
        connection,
        "select source_file from load_audit where rows_accepted < 0 or rows_read"
        " <> rows_accepted + rows_quarantined + rows_duplicate + rows_superseded order by source_file limit 1",
    )
    if wrong is None:
        wrong = _first(
            connection,
            "select source_file from billing_refused anti join load_audit using (table_name, source_file) limit 1",
        )
    if wrong is not None:
        raise NotPublishable(f"the rows of {wrong} do not add up: read is not accepted + quarantined + dropped")


@dataclass(frozen=True)
class _Content:
    """One table of the new file: its columns with their types, and what one pass over its rows tells.

    `unread` is true for the rows that no earlier night looked at: what is masked is looked for in these alone.
    """

    columns: dict[str, str]
    unread: str
    rows: int
    digest: str
    unmasked: list[str]
    with_at: list[str]


def _read(connection: duckdb.DuckDBPyConnection, contracts: Contracts, months: PublishedMonths) -> dict[str, _Content]:
    """One pass over each table: rows, digest, columns that should hold pseudonyms and do not, columns with an @."""
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "select table_name, column_name, data_type from duckdb_columns() where database_name = current_database()"
        " and schema_name = 'main' order by table_name, column_index"
    ).fetchall():
        columns.setdefault(table, {})[column] = kind
    contents = {}
    for table, kinds in columns.items():
        declared = contracts.tables.get(table)
        masked = [
            column.name for column in (declared.columns if declared else ())
            if column.personal in _PSEUDONYMISED and column.name in kinds
        ]  # fmt: skip
        texts = [column for column, kind in kinds.items() if kind in ("VARCHAR", "JSON")]
        by_month = table in BY_MONTH or table in DIGESTS_BY_MONTH
        told = [
            "count(*)",
            "0" if by_month else digest_sql(kinds),
            *(f"count_if(not regexp_full_match({name(column)}, {literal(PSEUDONYM_PATTERN)}))" for column in masked),
            *(f"bool_or(contains(cast({name(column)} as varchar), '@'))" for column in texts),
        ]
        unread = months.unread(table)
        row = connection.execute(f"select {', '.join(told)} from {name(table)} where {unread}").fetchone()
        assert row is not None
        rows, digest, *flags = row
        if by_month:
            digest = months.digest(connection, table, kinds)
            (rows,) = connection.execute(f"select count(*) from {name(table)}").fetchone() or (0,)
        contents[table] = _Content(
            columns=kinds,
            unread=unread,
            rows=rows,
            digest=f"{rows}:{digest:x}",
            unmasked=[column for column, flag in zip(masked, flags, strict=False) if flag],
            with_at=[column for column, flag in zip(texts, flags[len(masked) :], strict=True) if flag],
        )
    return contents


def _check_counts(counts: dict[str, int], contents: dict[str, _Content]) -> None:
    wrong = sorted(table for table, rows in counts.items() if contents[table].rows != rows)
    if wrong:
        raise NotPublishable(f"the copy of {', '.join(wrong[:5])} has not as many rows as the warehouse; run it again")


def _check_masked(
    connection: duckdb.DuckDBPyConnection,
    contracts: Contracts,
    contents: dict[str, _Content],
    expected: Collection[str],
) -> None:
    """Nothing raw: pseudonyms where the contract asks for them, no known address in a text, no raw value in a mart."""
    for table, content in contents.items():
        if content.unmasked:
            raise NotPublishable(f"{table}.{content.unmasked[0]} holds raw values; it must be pseudonymised")
    _collect_raw_values(connection, contracts)
    for table, content in contents.items():
        for column in content.with_at:
            found = _first(
                connection,
                f"select address from (select unnest(regexp_extract_all(cast({name(column)} as varchar),"
                f" {literal(_EMAIL)})) as address from {name(table)} where {content.unread})"
                " where lower(address) in (select lower(value) from raw_values where kind = 'email') limit 1",
            )
            if found is not None:
                raise NotPublishable(f"{table}.{column} holds a raw e-mail address; redact the text in its model")
    for table in expected:
        if table in contracts.tables:
            continue  # its columns are those of the contract, which were looked at above
        texts = [column for column, kind in contents[table].columns.items() if kind == "VARCHAR"]
        if not texts:
            continue
        cells = " union all ".join(
            f"select {literal(column)} as column_name, {name(column)} as value from {name(table)}"
            f" where {contents[table].unread}"
            for column in texts
        )
        hits = connection.execute(
            f"select distinct column_name, value from ({cells}) where value in (select value from raw_values)"
        ).fetchall()
        for column, value in hits:
            if not _public(connection, contracts, value):
                raise NotPublishable(f"{table}.{column} holds a raw personal value; mask it in its model")
    connection.execute("drop table raw_values")


def _collect_raw_values(connection: duckdb.DuckDBPyConnection, contracts: Contracts) -> None:
    """A temporary table of the raw values that are pseudonymised; single words are no evidence of a person."""
    present = {
        table for (table,) in connection.execute(
            "select table_name from information_schema.tables"
            " where table_catalog = 'warehouse' and table_schema = 'source'"
        ).fetchall()
    }  # fmt: skip
    parts = [
        f"select cast({name(column.name)} as varchar) as value, {literal(column.personal)} as kind"
        f" from warehouse.source.{name(table.name)}"
        for table in contracts.tables.values()
        for column in table.columns
        if column.personal in _PSEUDONYMISED and table.name in present
    ]
    union = " union all ".join(parts) or "select null as value, null as kind where false"
    connection.execute(
        f"create temp table raw_values as select distinct value, kind from ({union})"
        " where value is not null and (kind <> 'name' or contains(value, ' '))"
    )


def _public(connection: duckdb.DuckDBPyConnection, contracts: Contracts, value: str) -> bool:
    """Whether a value stands in a column that is not personal, too: a tenant may be called as a customer is."""
    for table in contracts.tables.values():
        for column in table.columns:
            if table.published and column.personal is None and column.data_type == "varchar":
                sql = f"select 1 from {name(table.name)} where {name(column.name)} = {literal(value)} limit 1"
                if _first(connection, sql) is not None:
                    return True
    return False


def _first(connection: duckdb.DuckDBPyConnection, sql: str) -> object:
    row = connection.execute(sql).fetchone()
    return None if row is None else row[0]


def _check_readable(
    working: Path, tables: set[str], views: Collection[str], events: LineEvents | None, night: date
) -> None:
    """The closed file opens as an analyst will open it and holds what it should."""
    if database_files.log_of(working).exists():
        raise NotPublishable("the new file was not written out; run the night again")
    with contextlib.closing(duckdb.connect(str(working), read_only=True)) as connection:
        found = connection.execute("select table_name, table_type from information_schema.tables").fetchall()
        made = {(view, "VIEW") for view in [*views, *([line_events.TABLE] if events else [])]}
        if {(table, "BASE TABLE") for table in tables} | made != set(found):
            raise NotPublishable("the new file does not hold the tables that were copied; run the night again")
        if events and _first(connection, f"select count(*) from {name(line_events.TABLE)}") != events.rows:
            raise NotPublishable("the events of invoice lines cannot all be read; run the night again")
        if _first(connection, "select night from data_as_of") != night:
            raise NotPublishable(f"the new file does not hold the night {night}; run it again")
