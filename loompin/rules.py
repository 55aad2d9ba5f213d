"""Rules as data: what each rule asks of a row, as one SQL predicate.

Rules come from two places and are the same thing afterwards: the contracts (keys, references, accepted values, row
checks) and the platform's own table `validation_rules`. Severities stand in `expectations/`. How rules are run is in
`validation`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import duckdb
import yaml

from loompin import formats
from loompin.contracts import Column, Contracts, Severity, Table
from loompin.settings import EXPECTATIONS
from loompin.sqltext import literal, name

Kind = Literal[
    "malformed", "type", "ambiguous", "not_null", "accepted_values", "reference", "check", "key",
    "regex", "range", "unique", "positive", "unknown",
]  # fmt: skip
_NUMBERS = ("integer", "double", "decimal", "percent", "duration", "bytes", "metric")


class ExpectationsError(Exception):
    """A file in `expectations/` is wrong; the message names it."""


@dataclass(frozen=True)
class Rule:
    """One rule of one table.

    `good` is a SQL predicate over the table's typed columns, true or NULL for a good row; rules over sets of rows
    (keys, `unique`) have none. `broken` says why a rule cannot run; such a rule flags no row.
    """

    table: str
    name: str
    kind: Kind
    column: str | None
    severity: Severity
    reason: str
    good: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    broken: str | None = None

    @property
    def rule_id(self) -> str:
        """The rule's name across all tables."""
        return f"{self.table}.{self.name}"


@dataclass(frozen=True)
class Expectations:
    """What `expectations/` says: the table of each entity, the severity of each rule."""

    entities: Mapping[str, str]
    default: Severity
    severities: Mapping[str, Severity]

    def severity(self, rule_id: str, otherwise: Severity | None = None) -> Severity:
        """The severity of a rule: its own, else that of its contract, else the default."""
        return self.severities.get(rule_id) or otherwise or self.default


def read_expectations(folder: Path = EXPECTATIONS) -> Expectations:
    """Read `entities.yml` and `severities.yml`.

    Raises:
        ExpectationsError: a file is missing, no YAML, or names an unknown severity.
    """

    def load(file: str) -> dict[str, Any]:
        try:
            loaded = yaml.safe_load((folder / file).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise ExpectationsError(f"expectations/{file} cannot be read: {error}") from error
        return loaded or {}

    entities, severities = load("entities.yml"), load("severities.yml")
    table_of = entities.get("entities", entities)
    rules = severities.get("rules") or {}
    default = severities.get("default", "quarantine")
    for rule_id, severity in {"default": default, **rules}.items():
        if severity not in ("warn", "quarantine", "block"):
            raise ExpectationsError(
                f"expectations/severities.yml: {rule_id} has the severity '{severity}'; use warn, quarantine or block"
            )
    return Expectations(table_of, default, rules)


def predicate(rule_type: str, column: Column, params: Mapping[str, Any]) -> str:
    """The SQL predicate of a row rule of `validation_rules`; true or NULL for a good row.

    Args:
        rule_type: regex, not_null, range or positive (`unique` is about sets of rows).
        column: the column that the rule is about.
        params: the rule's parameters; `pattern` for regex, `min` and `max` for range.

    Raises:
        ValueError: the rule cannot run on this column or with these parameters; the message says why.
    """
    quoted = name(column.name)
    if rule_type == "not_null":
        return f"{quoted} is not null"
    if rule_type == "regex":
        return f"regexp_matches(cast({quoted} as varchar), {literal(str(params['pattern']))})"
    if column.format not in _NUMBERS:
        raise ValueError(f"{rule_type} needs a column of numbers, and {column.name} is {column.data_type}")
    finite = f" and not isnan({quoted})" if column.data_type == "double" else ""
    if rule_type == "positive":
        return f"({quoted} > 0{finite})"
    if rule_type == "range":
        bounds = {key: params[key] for key in ("min", "max") if params.get(key) is not None}
        if not bounds:
            raise ValueError("range needs params with min, max or both")
        for key, bound in bounds.items():
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
                raise ValueError(f"range needs a number as {key}, not {json.dumps(bound)}")
        tests = [f"{quoted} {'>=' if key == 'min' else '<='} {_number(bound)}" for key, bound in bounds.items()]
        return f"({' and '.join(tests)}{finite})"
    raise ValueError(f"'{rule_type}' is no rule type; use regex, not_null, range, unique or positive")


def contract_rules(table: Table, expectations: Expectations) -> list[Rule]:
    """The rules that a table's contract implies, in the order in which they are tried."""
    rules: list[Rule] = []

    def add(
        kind: Kind, rule: str, column: str | None, reason: str, good: str | None = None,
        otherwise: Severity | None = None, **params: Any,
    ) -> None:  # fmt: skip
        severity = expectations.severity(f"{table.name}.{rule}", otherwise)
        rules.append(Rule(table.name, rule, kind, column, severity, reason, good, params))

    add("malformed", "malformed_row", None, "the line cannot be split into columns")
    for column in table.file_columns:
        if formats.can_fail(column) or column.rule:
            add("type", column.type_rule, column.name, f"expected {formats.says(column)}")
    for column in table.columns:
        quoted = name(column.name)
        if column.not_null:
            # An unknown tenant has a value, though it is resolved to none: that is the reference's rule to tell.
            received = "tenant_ref" if column.name == table.tenant else quoted
            add("not_null", f"{column.name}_not_null", column.name, "a value is required", f"{received} is not null")
        if column.accepted_values is not None:
            values = ", ".join(literal(value) for value in column.accepted_values)
            add(
                "accepted_values", f"{column.name}_accepted_values", column.name,
                f"expected one of {', '.join(column.accepted_values)}", f"cast({quoted} as varchar) in ({values})",
                values=list(column.accepted_values),
            )  # fmt: skip
        if column.references is not None:
            rule = column.references.rule or f"{column.name}_reference"
            add(
                "reference", rule, column.name, f"refers to no row of {column.references.to}",
                otherwise=column.references.orphan, to=column.references.to,
            )  # fmt: skip
            if column.references.to == "tenants.id":
                add("ambiguous", f"{column.name}_ambiguous", column.name, "this shortened id fits more than one tenant")
    for check in table.checks:
        add("check", check.name, check.column, check.reason, f"({check.expect})", check.severity, expect=check.expect)
    if table.key:
        rule = "duplicate_conflict" if table.duplicates == "first_known" else "duplicate_key"
        add("key", rule, table.key[0], f"another row has this key ({', '.join(table.key)}) and other content",
            key=list(table.key))  # fmt: skip
    merged: dict[str, Rule] = {}
    for rule_ in rules:
        merged.setdefault(f"{rule_.name}/{rule_.column}/{rule_.kind}", rule_)
    return list(merged.values())


def platform_rules(
    rows: Iterable[tuple[str | None, str | None, str | None, str | None]],
    contracts: Contracts,
    brought: Mapping[str, set[str]],
    expectations: Expectations,
) -> list[Rule]:
    """The rules of `validation_rules`: rows of (entity_type, field_name, rule_type, params).

    Args:
        brought: the columns that files of each table bring; a rule on another optional column is broken, not failed.
    """
    return [_platform_rule(*row, contracts, brought, expectations) for row in rows]


def _platform_rule(
    entity: str | None, field_name: str | None, rule_type: str | None, params: str | None,
    contracts: Contracts, brought: Mapping[str, set[str]], expectations: Expectations,
) -> Rule:  # fmt: skip
    entity, field_name, rule_type = entity or "", field_name or "", (rule_type or "").strip()
    table_name = expectations.entities.get(entity, entity)
    rule_name = f"{field_name}_{rule_type}"
    severity = expectations.severity(f"{table_name}.{rule_name}")
    kind: Kind = rule_type if rule_type in ("regex", "not_null", "range", "unique", "positive") else "unknown"  # type: ignore[assignment]

    def broken(why: str) -> Rule:
        return Rule(table_name, rule_name, kind, field_name or None, severity, why, broken=why)

    table = contracts.tables.get(table_name)
    if table is None:
        return broken(f"no table belongs to the entity '{entity}'; name it in expectations/entities.yml")
    column = table.by_name.get(field_name)
    if column is None:
        return broken(f"{table_name} has no column '{field_name}'")
    if column.origin == "gained" and brought.get(table_name) and field_name not in brought[table_name]:
        return broken(f"no file of {table_name} brings the optional column '{field_name}'")
    if kind == "unknown":
        return broken(f"'{rule_type}' is no rule type; use regex, not_null, range, unique or positive")
    try:
        parsed = _params(rule_type, params)
        if kind == "unique":
            return _unique(table, column, parsed, rule_name, severity)
        good = predicate(rule_type, column, parsed)
        if kind == "regex":
            _check_pattern(str(parsed["pattern"]))
    except ValueError as error:
        return broken(str(error))
    return Rule(table_name, rule_name, kind, field_name, severity, _reason(rule_type, parsed), good, parsed)


def _params(rule_type: str, text: str | None) -> dict[str, Any]:
    text = text or ""
    if rule_type == "regex":
        # The catalog writes the bare pattern; an object with a pattern is read too.
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = text
        if isinstance(parsed, dict) and isinstance(parsed.get("pattern"), str):
            return {"pattern": parsed["pattern"]}
        if not text:
            raise ValueError("regex needs a pattern in params")
        return {"pattern": text}
    try:
        parsed = json.loads(text) if text else {}
    except ValueError as error:
        raise ValueError(f"params are not valid JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"params must be a JSON object, not {text}")
    return parsed


def _unique(table: Table, column: Column, params: dict[str, Any], rule_name: str, severity: Severity) -> Rule:
    scope = params.get("scope", "all")
    if scope not in ("all", "tenant"):
        raise ValueError(f"unique knows the scopes all and tenant, not '{scope}'")
    if scope == "tenant" and table.tenant is None:
        raise ValueError(f"unique within a tenant needs a table with a tenant, and {table.name} has none")
    within = [table.tenant] if scope == "tenant" else []
    params = {"columns": [*within, column.name], "scope": scope}
    reason = f"another row{' of this tenant' if within else ''} has the same {column.name}"
    return Rule(table.name, rule_name, "unique", column.name, severity, reason, params=params)


def _check_pattern(pattern: str) -> None:
    try:
        # A parameter instead of a constant would import pandas, which takes a quarter of a second.
        duckdb.execute(f"select regexp_matches('', {literal(pattern)})")
    except duckdb.Error as error:
        raise ValueError(f"RE2 does not accept the pattern '{pattern}' ({str(error).splitlines()[0]})") from error


def _reason(rule_type: str, params: Mapping[str, Any]) -> str:
    if rule_type == "regex":
        return f"expected text that matches {params['pattern']}"
    if rule_type == "range":
        bounds = [
            f"{word} {params[key]}"
            for key, word in (("min", "at least"), ("max", "at most"))
            if params.get(key) is not None
        ]
        return f"expected a number of {' and '.join(bounds)}"
    return {"not_null": "a value is required", "positive": "expected a number above 0"}[rule_type]


def _number(value: float) -> str:
    return repr(value) if isinstance(value, int) else f"cast({value!r} as double)"
