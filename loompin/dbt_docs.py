"""dbt docs as one static page that needs no server: dbt's own page with the manifest and a catalog put into it.

`dbt docs generate --static` makes the same page, but parses and compiles the project again for it, which takes longer
than landing. The manifest is there already; the catalog is one query on the warehouse.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

_SLOTS = {"manifest": '"MANIFEST.JSON INLINE DATA"', "catalog": '"CATALOG.JSON INLINE DATA"'}


class DocsError(Exception):
    """The page could not be made; the message says why."""


def build(manifest: Path, warehouse: Path, page: Path) -> Path:
    """Make the page of a project as the warehouse holds it, replacing the former one at once.

    Args:
        manifest: dbt's `manifest.json` of the project.
        warehouse: the DuckDB file that dbt built, which nobody may be writing to.
        page: where the page goes, such as `<home>/docs/dbt/index.html`.

    Raises:
        DocsError: dbt's page is missing or not as it is known.
        duckdb.Error: the warehouse cannot be read.
    """
    text = _template().read_text(encoding="utf-8")
    for slot in _SLOTS.values():
        if slot not in text:
            raise DocsError(f"dbt's docs page has no place for {slot}: this release of dbt is not known here")
    declared = manifest.read_text(encoding="utf-8")
    found = _catalog(json.loads(declared), warehouse)
    text = text.replace(_SLOTS["manifest"], _for_script(declared)).replace(
        _SLOTS["catalog"], _for_script(json.dumps(found))
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    working = page.with_name(f".{page.name}.{os.getpid()}")
    working.write_text(text, encoding="utf-8")
    working.replace(page)
    return page


def _template() -> Path:
    for file in importlib.metadata.files("dbt-core") or []:
        if file.as_posix() == "dbt/task/docs/index.html":
            return Path(str(file.locate()))
    raise DocsError("dbt-core is installed without its docs page; install it again")


def _catalog(manifest: Mapping[str, Any], warehouse: Path) -> dict[str, Any]:
    """dbt's catalog: the relations that are in the warehouse, with their columns and comments."""
    with contextlib.closing(duckdb.connect(str(warehouse), read_only=True)) as connection:
        relations = {
            (schema, name): {"type": kind, "comment": comment, "rows": rows}
            for schema, name, kind, comment, rows in connection.execute(
                "select schema_name, table_name, 'BASE TABLE', comment, estimated_size from duckdb_tables()"
                " where not internal union all"
                " select schema_name, view_name, 'VIEW', comment, null from duckdb_views() where not internal"
            ).fetchall()
        }
        columns: dict[tuple[str, str], dict[str, Any]] = {}
        for schema, table, column, kind, index, comment in connection.execute(
            "select schema_name, table_name, column_name, data_type, column_index, comment from duckdb_columns()"
            " where not internal order by schema_name, table_name, column_index"
        ).fetchall():
            told = {"type": kind, "index": index, "name": column, "comment": comment}
            columns.setdefault((schema, table), {})[column] = told

    def entries(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return {
            unique_id: _entry(node, place, relations[place], columns.get(place, {}))
            for unique_id, node in nodes.items()
            if (place := (node["schema"], node.get("alias") or node.get("identifier") or node["name"])) in relations
        }

    return {
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json",
            "dbt_version": manifest["metadata"]["dbt_version"],
            "generated_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "invocation_id": manifest["metadata"].get("invocation_id"),
            "env": {},
        },
        "nodes": entries({key: node for key, node in manifest["nodes"].items() if node["resource_type"] != "test"}),
        "sources": entries(manifest["sources"]),
        "errors": None,
    }


def _entry(
    node: Mapping[str, Any], place: tuple[str, str], relation: Mapping[str, Any], columns: dict[str, Any]
) -> dict[str, Any]:
    stats: dict[str, Any] = {
        "has_stats": {
            "id": "has_stats", "label": "Has Stats?", "value": relation["rows"] is not None, "include": False,
            "description": "Indicates whether there are statistics for this table",
        }
    }  # fmt: skip
    if relation["rows"] is not None:
        stats["num_rows"] = {
            "id": "num_rows", "label": "Rows", "value": relation["rows"], "include": True,
            "description": "Rows of the table when this page was made",
        }  # fmt: skip
    schema, name = place
    return {
        "metadata": {
            "type": relation["type"], "schema": schema, "name": name, "database": node.get("database"),
            "comment": relation["comment"], "owner": None,
        },
        "columns": columns,
        "stats": stats,
        "unique_id": node["unique_id"],
    }  # fmt: skip


def _for_script(data: str) -> str:
    """JSON as it may stand in a page's script: text that would end the script is escaped the way JSON allows."""
    return data.replace("</", "<\\/").replace("<!--", "<\\u0021--")
