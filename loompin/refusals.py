"""What billing refuses of the rows that the loader accepted: its rules, and what each of them found in a night.

dbt decides (`int_billing_quarantine`), as only it knows subscriptions, prices and invoices; the rules and what they
mean stand in `int_billing_rules`. Here they become what every other rule is: a `CheckResult`. How refused rows leave
the accepted ones is in `publish`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import duckdb

from loompin.contracts import Contracts
from loompin.rules import Expectations
from loompin.settings import DBT_PROJECT
from loompin.sqltext import literal, name
from loompin.validation import CheckResult

MODEL = "int_billing_quarantine"
RULES = DBT_PROJECT / "models" / "intermediate" / "billing" / "int_billing_rules.sql"
_SAMPLES = 5


@dataclass(frozen=True)
class RefusalRule:
    """A rule that only billing can check, of an input table; `reason` says what is wrong with a row that breaks it."""

    table: str
    rule: str
    column: str
    reason: str

    @property
    def rule_id(self) -> str:
        """Its id among all rules."""
        return f"{self.table}.{self.rule}"


@functools.lru_cache(maxsize=1)
def rules() -> tuple[RefusalRule, ...]:
    """The rules of billing, as the model that lists them says: it reads nothing, so it needs no warehouse."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select table_name, rule, column_name, reason from ({RULES.read_text(encoding='utf-8')}) order by all"
        ).fetchall()
    return tuple(RefusalRule(*row) for row in rows)


def results(
    connection: duckdb.DuckDBPyConnection, contracts: Contracts, expectations: Expectations
) -> list[CheckResult]:
    """What each rule of billing found in a warehouse whose models were derived for its night."""
    checked = dict(
        connection.execute(
            "select table_name, cast(sum(rows_accepted) as bigint) from landing.load_audit group by table_name"
        ).fetchall()
    )
    failed: dict[tuple[str, str], int] = {}
    samples: dict[tuple[str, str], list[str]] = {}
    for table, rule, file, line, row, count in connection.execute(
        f"select table_name, rule, source_file, source_line, row_json, count(*) over (partition by table_name, rule)"
        f" from intermediate.{name(MODEL)} qualify row_number() over (partition by table_name, rule"
        f" order by source_file, source_line) <= {_SAMPLES} order by table_name, rule, source_file, source_line"
    ).fetchall():
        failed[table, rule] = count
        samples.setdefault((table, rule), []).append(f"{file}:{line}{_key(connection, contracts, table, row)}")
    return [
        _result(
            told, expectations, checked.get(told.table, 0), failed.get((told.table, told.rule), 0),
            samples.get((told.table, told.rule), []),
        )
        for told in rules()
    ]  # fmt: skip


def _key(connection: duckdb.DuckDBPyConnection, contracts: Contracts, table: str, row: str | None) -> str:
    """The key of a row, as samples show it; columns with personal data are left out."""
    declared = contracts.tables[table]
    shown = [column for column in declared.key if not declared.by_name[column].personal]
    values = ", ".join(f"json_extract_string({literal(row)}, {literal(f'$.{column}')})" for column in shown)
    found = connection.execute(f"select {values}").fetchone() if row and shown else None
    told = [f"{column}={value}" for column, value in zip(shown, found or (), strict=False) if value is not None]
    return f" ({', '.join(told)})" if told else ""


def _result(
    told: RefusalRule, expectations: Expectations, rows_checked: int, rows_failed: int, sample: list[str]
) -> CheckResult:
    severity = expectations.severity(told.rule_id)
    where = f"where table_name = {literal(told.table)} and rule = {literal(told.rule)}"
    sql = (
        f"-- in warehouse.duckdb\nselect * from intermediate.{MODEL} {where}"
        if severity == "warn" else f"select * from quarantine {where}"
    )  # fmt: skip
    return CheckResult(
        rule_id=told.rule_id, table=told.table, column=told.column, kind="billing", severity=severity,
        status="fail" if rows_failed else "pass", rows_checked=rows_checked, rows_failed=rows_failed,
        sample_keys=sample, sql=sql, params={"expect": f"not: {told.reason}"},
        message=f"{rows_failed} row{'s' if rows_failed > 1 else ''}: {told.reason}" if rows_failed else "",
    )  # fmt: skip
