"""How tables and results are described to Dagster: groups, owners, kinds, column schemas, code references, row counts.

One place, so that sources and models look the same in the UI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import dagster as dg
import duckdb

from loompin.sqltext import literal

PUBLISHING = "publishing"
LANDING = "landing"


def owners(group: str) -> list[str]:
    """The team that answers for a group of assets."""
    return [f"team:{group}"]


def check_name(rule: str) -> str:
    """A rule's name as Dagster takes it: letters, digits and underscores."""
    return re.sub(r"\W", "_", rule)


def schema(columns: Iterable[tuple[str, str, str, bool, Sequence[str]]]) -> dg.TableSchema:
    """A column schema from (name, type, description, whether a value is required, tags)."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=data_type or "?",
                description=description or None,
                constraints=dg.TableColumnConstraints(nullable=not required),
                tags=dict.fromkeys(tags, ""),
            )
            for name, data_type, description, required, tags in columns
        ]
    )


def code_reference(*places: tuple[Path, int | None, str]) -> dg.CodeReferencesMetadataValue:
    """Where an asset is declared, from (file, line, label)."""
    return dg.CodeReferencesMetadataValue(
        code_references=[
            dg.LocalFileCodeReference(file_path=str(file), line_number=line, label=label)
            for file, line, label in places
        ]
    )


def sizes(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], int]:
    """The bytes on disk of every table of a DuckDB file, by (schema, name). A block that is shared counts for each."""
    block_size = _number(connection.execute("select block_size from pragma_database_size()").fetchone())
    tables = connection.execute("select schema_name, table_name from duckdb_tables() where not internal").fetchall()
    if not tables:
        return {}
    union = " union all ".join(
        f"select {literal(schema_name)}, {literal(table)},"
        " count(distinct block_id) filter (where persistent and block_id >= 0)"
        f" from pragma_storage_info({literal(f'{schema_name}.{chr(34)}{table}{chr(34)}')})"
        for schema_name, table in tables
    )
    return {
        (schema_name, table): blocks * block_size for schema_name, table, blocks in connection.execute(union).fetchall()
    }


def row_counts(
    connection: duckdb.DuckDBPyConnection, relations: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """The rows of relations, by (schema, name), counted in one query."""
    wanted = list(relations)
    if not wanted:
        return {}
    union = " union all ".join(
        f'select {literal(schema_name)}, {literal(table)}, count(*) from "{schema_name}"."{table}"'
        for schema_name, table in wanted
    )
    return {(schema_name, table): rows for schema_name, table, rows in connection.execute(union).fetchall()}


def columns(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The columns (name, type) of every relation of a DuckDB file, by (schema, name)."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    rows = connection.execute(
        "select schema_name, table_name, column_name, lower(data_type) from duckdb_columns()"
        " where not internal order by schema_name, table_name, column_index"
    ).fetchall()
    for schema_name, table, column, data_type in rows:
        found.setdefault((schema_name, table), []).append((column, data_type))
    return found


def _number(row: tuple[object, ...] | None) -> int:
    return int(str(row[0])) if row else 0
