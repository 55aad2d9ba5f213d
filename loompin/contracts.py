"""The contracts of the source tables, read from the dbt source YAML and validated: the one reader of that declaration.

A table is declared once, in `dbt_project/models/domains/<domain>.yml`. Loader, rules, masking, Dagster and docs ask
this module. What a format means in SQL is in `formats`; nothing here touches data.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from loompin.settings import DBT_PROJECT

DOMAINS = DBT_PROJECT / "models" / "domains"

Severity = Literal["warn", "quarantine", "block"]
Format = Literal[
    "text", "id", "quoted", "json", "percent", "duration", "bytes", "month", "metric",
    "integer", "double", "decimal", "boolean", "date", "timestamp", "time",
]  # fmt: skip
Personal = Literal["email", "name", "ip", "token", "free_text", "json"]

_FORMAT_OF_TYPE: dict[str, Format] = {
    "varchar": "text", "json": "json", "bigint": "integer", "integer": "integer", "double": "double",
    "boolean": "boolean", "date": "date", "timestamp": "timestamp", "time": "time",
}  # fmt: skip
_TYPES_OF_FORMAT: dict[str, set[str]] = {
    "text": {"varchar"}, "id": {"varchar"}, "quoted": {"varchar"}, "json": {"json"}, "percent": {"double"},
    "duration": {"bigint"}, "bytes": {"bigint"}, "month": {"date"}, "metric": {"decimal(38,6)"},
    "integer": {"bigint", "integer"}, "double": {"double"}, "boolean": {"boolean"}, "date": {"date"},
    "timestamp": {"timestamp"}, "time": {"time"},
}  # fmt: skip


class ContractError(Exception):
    """A contract is wrong; the message names file, line, and what to do."""

    def __init__(self, file: Path, line: int, message: str) -> None:
        super().__init__(f"{file.name}, line {line}: {message}")
        self.file, self.line = file, line


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reference(_Strict):
    """A column's reference to a column of another table, and what an orphan means.

    Values in `none` refer to nothing; `or_to` names further columns that a value may be found in instead.
    """

    to: str
    orphan: Severity = "warn"
    rule: str | None = None
    none: tuple[str, ...] = ()
    or_to: tuple[str, ...] = ()

    @field_validator("to")
    @classmethod
    def _table_and_column(cls, value: str) -> str:
        if value.count(".") != 1:
            raise ValueError(f"'{value}' is not of the form table.column")
        return value

    @field_validator("or_to")
    @classmethod
    def _tables_and_columns(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cls._table_and_column(value) for value in values)

    @property
    def targets(self) -> list[tuple[str, str]]:
        """Every (table, column) that a value may be found in."""
        return [(target.split(".")[0], target.split(".")[1]) for target in (self.to, *self.or_to)]

    @property
    def table(self) -> str:
        """The table referred to."""
        return self.to.split(".")[0]

    @property
    def column(self) -> str:
        """The column referred to."""
        return self.to.split(".")[1]


class RowCheck(_Strict):
    """A condition on each row of a table: `expect` is SQL over the typed columns, true or NULL for a good row.

    It may look up accepted rows of a table that this one refers to (`source.<table>`), and the table's own rows of the
    night (`landing.rows_<table>`).
    """

    name: str
    column: str
    expect: str
    reason: str
    severity: Severity | None = None


class Column(_Strict):
    """One column of a source table.

    `origin` is where its value comes from: `catalog` columns are required in a file's header, `gained` ones may be in
    it, `derived` ones are made by the loader (`derived_from` says from which column).
    """

    name: str
    data_type: str
    description: str
    format: Format
    origin: Literal["catalog", "gained", "derived"] = "catalog"
    not_null: bool = False
    references: Reference | None = None
    personal: Personal | None = None
    accepted_values: tuple[str, ...] | None = None
    unit: str | None = None
    rule: str | None = None
    derived_from: str | None = Field(default=None, alias="from")
    line: int = Field(default=0, exclude=True)

    @property
    def in_files(self) -> bool:
        """Whether a source file may bring this column."""
        return self.origin != "derived"

    @property
    def type_rule(self) -> str:
        """The name of the rule that a value of the wrong type breaks."""
        return self.rule or f"{self.name}_type"


class Table(_Strict):
    """One declared source table: its columns and how its rows are told apart, referred and kept."""

    name: str
    domain: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    tenant: str | None = None
    event_time: str | None = None
    published: bool = True
    night_ends_without: bool = False
    duplicates: Literal["latest_known", "first_known"] = "latest_known"
    rows_stay: bool = False
    history: Literal["accepted", "with_refused", "changed"] | None = None
    checks: tuple[RowCheck, ...] = ()
    file: Path = Field(default=Path(), exclude=True)
    line: int = Field(default=0, exclude=True)

    @functools.cached_property
    def by_name(self) -> dict[str, Column]:
        """Columns by name."""
        return {column.name: column for column in self.columns}

    @property
    def file_columns(self) -> list[Column]:
        """The columns that a file may bring, in order."""
        return [column for column in self.columns if column.in_files]

    @property
    def required_columns(self) -> list[str]:
        """The columns that a file's header must name."""
        return [column.name for column in self.columns if column.origin == "catalog"]

    @property
    def known_by(self) -> list[str]:
        """The columns that tell when a row is known, the first with a value counting."""
        return [name for name in ("received_at", self.event_time) if name and name in self.by_name]

    @property
    def is_keyed_by_month(self) -> bool:
        """Whether a key seen again in another month of `occurred_at` is another row, as for usage events."""
        return bool(self.key) and self.duplicates == "first_known" and self.event_time == "occurred_at"

    @property
    def has_personal_data(self) -> bool:
        """Whether any column holds personal data."""
        return any(column.personal for column in self.columns)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes when files of this table would be landed differently."""
        told = [(c.name, c.data_type, c.format, c.origin) for c in self.columns]
        return hashlib.sha256(json.dumps([told, self.known_by]).encode()).hexdigest()[:12]


class Contracts(_Strict):
    """Every declared source table, by name."""

    tables: dict[str, Table]

    def in_reference_order(self) -> list[Table]:
        """Tables so that each comes after those it refers to; a cycle is cut where it closes."""
        done: dict[str, Table] = {}
        under_way: set[str] = set()

        def visit(table: Table) -> None:
            if table.name in done or table.name in under_way:
                return
            under_way.add(table.name)
            for column in table.columns:
                for target, _ in column.references.targets if column.references else ():
                    visit(self.tables[target])
            done[table.name] = table

        for table in self.tables.values():
            visit(table)
        return list(done.values())


class _Node:
    """A YAML value with the line of every part of it."""

    def __init__(self, node: yaml.Node) -> None:
        self.line = node.start_mark.line + 1
        self.value: Any
        if isinstance(node, yaml.MappingNode):
            self.value = {key.value: _Node(value) for key, value in node.value}
        elif isinstance(node, yaml.SequenceNode):
            self.value = [_Node(value) for value in node.value]
        else:
            self.value = yaml.safe_load(yaml.serialize(node)) if node.tag != "tag:yaml.org,2002:str" else node.value

    def plain(self) -> Any:
        if isinstance(self.value, dict):
            return {key: value.plain() for key, value in self.value.items()}
        if isinstance(self.value, list):
            return [value.plain() for value in self.value]
        return self.value

    def child(self, *path: str) -> _Node | None:
        node: _Node | None = self
        for step in path:
            node = node.value.get(step) if node is not None and isinstance(node.value, dict) else None
        return node

    def items(self, key: str) -> list[_Node]:
        node = self.child(key)
        return node.value if node is not None and isinstance(node.value, list) else []


def read(folder: Path = DOMAINS) -> Contracts:
    """Read and validate the contracts of a folder of dbt source YAML files.

    Raises:
        ContractError: a declaration is not valid; it names file and line.
    """
    tables: dict[str, Table] = {}
    for file in sorted(folder.glob("*.yml")):
        try:
            root = yaml.compose(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ContractError(file, line, f"not valid YAML: {error.problem}") from error
        if root is None:
            continue
        for source in _Node(root).items("sources"):
            schema = source.child("schema")
            if schema is None or schema.value != "source":
                continue
            domain = source.plain()["name"]
            for node in source.items("tables"):
                table = _table(file, domain, node)
                if table.name in tables:
                    raise ContractError(file, node.line, f"table {table.name} is declared twice")
                tables[table.name] = table
    contracts = Contracts(tables=tables)
    for table in tables.values():
        _check(table, contracts)
    return contracts


@functools.lru_cache(maxsize=1)
def load() -> Contracts:
    """The project's contracts, read once a process."""
    return read()


def _table(file: Path, domain: str, node: _Node) -> Table:
    plain = node.plain()
    if "name" not in plain:
        raise ContractError(file, node.line, "a table needs a name")
    meta = (plain.get("config") or {}).get("meta") or {}
    columns = tuple(_column(file, plain["name"], column) for column in node.items("columns"))
    try:
        return Table(
            name=plain["name"], domain=domain, description=str(plain.get("description") or ""), columns=columns,
            file=file, line=node.line, **meta,
        )  # fmt: skip
    except (ValidationError, TypeError) as error:
        raise ContractError(file, node.line, f"table {plain['name']}: {_first(error)}") from error


def _column(file: Path, table: str, node: _Node) -> Column:
    plain = node.plain()
    name = plain.get("name", "?")
    meta = dict((plain.get("config") or {}).get("meta") or {})
    data_type = str(plain.get("data_type") or "").lower()
    implied = "decimal" if data_type.startswith("decimal(") else _FORMAT_OF_TYPE.get(data_type)
    if implied is None:
        raise ContractError(
            file, node.line, f"{table}.{name} has the unknown data_type '{data_type}'; one of "
            f"{', '.join(sorted(_FORMAT_OF_TYPE))}, decimal(p,s)",
        )  # fmt: skip
    kind = meta.pop("format", implied)
    try:
        column = Column(
            name=name, data_type=data_type, description=str(plain.get("description") or ""), format=kind,
            line=node.line, **meta,
        )  # fmt: skip
    except (ValidationError, TypeError) as error:
        raise ContractError(file, node.line, f"{table}.{name}: {_first(error)}") from error
    if data_type not in _TYPES_OF_FORMAT.get(kind, {data_type}):
        raise ContractError(file, node.line, f"{table}.{name}: format {kind} does not give the type {data_type}")
    return column


def _check(table: Table, contracts: Contracts) -> None:
    def wrong(line: int, message: str) -> ContractError:
        return ContractError(table.file, line, f"table {table.name}: {message}")

    names = [column.name for column in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise wrong(table.line, f"column {twice[0]} is declared twice")
    named = {"key": table.key, "tenant": (table.tenant,), "event_time": (table.event_time,)}
    for what, columns in named.items():
        for name in columns:
            if name is not None and name not in table.by_name:
                raise wrong(table.line, f"{what} names the column {name}, which it does not have")
    if table.tenant and "tenant_ref" not in table.by_name:
        raise wrong(table.line, "has a tenant and so needs the derived column tenant_ref")
    for check in table.checks:
        if check.column not in table.by_name:
            raise wrong(table.line, f"check {check.name} names the column {check.column}, which it does not have")
    for column in table.columns:
        if column.derived_from and column.derived_from not in table.by_name:
            raise wrong(column.line, f"{column.name} comes from {column.derived_from}, which it does not have")
        if column.references is None:
            continue
        for target_table, target_column in column.references.targets:
            target = contracts.tables.get(target_table)
            if target is None or target_column not in target.by_name:
                raise wrong(
                    column.line, f"{column.name} refers to {target_table}.{target_column}, which is not declared"
                )


def _first(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
