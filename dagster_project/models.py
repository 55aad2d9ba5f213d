"""How dbt's nodes look in Dagster: keys and groups from their folders, descriptions, columns, code references, checks.

Read from the manifest alone. Running dbt and reporting its results is in `model_assets`.
"""

from __future__ import annotations

import functools
import graphlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator

from dagster_project import describe
from dagster_project.source_assets import landing_key, source_key
from loompin.settings import DBT_PROJECT

Node = Mapping[str, Any]
LANDING_SCHEMA = "landing"


class Translator(DagsterDbtTranslator):
    """dbt's nodes as assets: `models/<layer>/<group>/<name>.sql` is the asset `<layer>/<name>` in the group `<group>`.

    A source is the asset that the landing step makes of it, so that lineage does not break between the two.
    """

    def get_asset_key(self, dbt_resource_props: Node) -> dg.AssetKey:
        """The layer and the name of a model; the landed table of a source."""
        name = dbt_resource_props["name"]
        if dbt_resource_props["resource_type"] == "source":
            if dbt_resource_props["schema"] != LANDING_SCHEMA:
                return source_key(name)
            table = _rows_of(dbt_resource_props)
            return source_key(table) if table else landing_key(name)
        return dg.AssetKey([_folders(dbt_resource_props)[0], name])

    def get_group_name(self, dbt_resource_props: Node) -> str:
        """The folder below the layer, else the layer."""
        if dbt_resource_props["resource_type"] == "source":
            return str(dbt_resource_props["source_name"])
        return _folders(dbt_resource_props)[-1]

    def get_description(self, dbt_resource_props: Node) -> str:
        """The description of the YAML file, else the comment that a model's SQL begins with."""
        return dbt_resource_props.get("description") or _leading_comment(dbt_resource_props.get("raw_code") or "")

    def get_owners(self, dbt_resource_props: Node) -> list[str]:
        """The team of the group."""
        return describe.owners(self.get_group_name(dbt_resource_props))

    def get_metadata(self, dbt_resource_props: Node) -> Mapping[str, Any]:
        """Column schema, relation, materialization and code references."""
        return {
            "dagster/column_schema": _schema(dbt_resource_props),
            "dagster/table_name": f"{dbt_resource_props['schema']}.{dbt_resource_props['name']}",
            "dagster_dbt/materialization_type": dbt_resource_props["config"].get("materialized"),
            "dagster/code_references": describe.code_reference(*_places(dbt_resource_props)),
        }


@dataclass(frozen=True)
class Models:
    """Every model and test of the manifest as Dagster knows it."""

    manifest: Mapping[str, Any]
    specs: dict[str, dg.AssetSpec]
    """By dbt's unique id."""
    checks: dict[str, dg.AssetCheckSpec]
    """By dbt's unique id."""

    @property
    def keys(self) -> frozenset[dg.AssetKey]:
        """The assets that dbt makes."""
        return frozenset(spec.key for spec in self.specs.values())

    @property
    def published(self) -> list[dg.AssetKey]:
        """The assets that are published: the marts."""
        return [spec.key for unique_id, spec in self.specs.items() if is_mart(self.manifest["nodes"][unique_id])]

    @property
    def landing_tables(self) -> list[Node]:
        """The declared tables that the loader writes about the run."""
        return [
            source
            for source in self.manifest["sources"].values()
            if source["schema"] == LANDING_SCHEMA and _rows_of(source) is None
        ]

    @functools.cached_property
    def sources_read(self) -> frozenset[dg.AssetKey]:
        """The landed tables that some model reads."""
        made = self.keys
        return frozenset(
            dep.asset_key for spec in self.specs.values() for dep in spec.deps if dep.asset_key not in made
        )


def read(manifest: Mapping[str, Any]) -> Models:
    """The models and tests of a manifest; unit tests are no checks, they belong to `make test`."""
    translator = Translator()
    nodes: dict[str, Node] = manifest["nodes"]
    specs: dict[str, dg.AssetSpec] = {}
    for unique_id, node in nodes.items():
        if node["resource_type"] in ("model", "seed", "snapshot") and node["config"].get("materialized") != "ephemeral":
            spec = translator.get_asset_spec(manifest, unique_id, None)
            # The translator's own metadata would carry the whole manifest with each of some two hundred assets.
            specs[unique_id] = spec.replace_attributes(
                metadata=translator.get_metadata(node),
                deps=[dg.AssetDep(key) for key in dict.fromkeys(dep.asset_key for dep in spec.deps)],
                kinds={"dbt", "duckdb", str(node["config"].get("materialized"))},
            )
    # In the order of lineage, in which Dagster wants its events.
    lineage = graphlib.TopologicalSorter({one: [p for p in _parents(nodes[one]) if p in specs] for one in specs})
    specs = {unique_id: specs[unique_id] for unique_id in lineage.static_order()}
    checks: dict[str, dg.AssetCheckSpec] = {}
    for unique_id, node in nodes.items():
        if node["resource_type"] == "test" and (tested := _tested(node, nodes, specs)) is not None:
            checks[unique_id] = dg.AssetCheckSpec(
                name=describe.check_name(node["name"]),
                asset=specs[tested].key,
                description=node.get("description") or node["config"].get("meta", {}).get("description") or _law(node),
                blocking=str(node["config"].get("severity") or "error").lower() == "error",
                metadata={"dagster/code_references": describe.code_reference(*_places(node))},
            )
    return Models(manifest, specs, checks)


def is_mart(node: Node) -> bool:
    """Whether users query this model."""
    return node["resource_type"] == "model" and _folders(node)[0] == "marts"


def _folders(node: Node) -> list[str]:
    """The layer and what is below it: the folders between `models/` and the file; `seeds/` is a layer itself."""
    folders = list(Path(node["original_file_path"]).parts[:-1])
    return folders[1:] if folders[0] == "models" and len(folders) > 1 else folders


def _schema(node: Node) -> dg.TableSchema:
    return describe.schema(
        (
            name,
            column.get("data_type") or "",
            column.get("description") or "",
            any(constraint.get("type") == "not_null" for constraint in column.get("constraints") or []),
            column.get("tags") or [],
        )
        for name, column in (node.get("columns") or {}).items()
    )


def _places(node: Node) -> list[tuple[Path, int | None, str]]:
    places: list[tuple[Path, int | None, str]] = [(DBT_PROJECT / node["original_file_path"], None, "SQL")]
    if node.get("patch_path"):
        places.append((DBT_PROJECT / str(node["patch_path"]).split("://")[-1], None, "columns and tests"))
    return places


def _leading_comment(sql: str) -> str:
    found = re.match(r"\s*(?:\{#-?(?P<jinja>.*?)-?#\}|(?P<lines>(?:[ \t]*--[^\n]*\n)+))", sql, re.DOTALL)
    if found is None:
        return ""
    text = found["jinja"] or re.sub(r"(?m)^\s*--\s?", "", found["lines"] or "")
    return re.sub(r"\s+", " ", text).strip()


def _law(node: Node) -> str | None:
    """What a test of its own SQL file asserts, from the comment that it begins with."""
    return _leading_comment(node.get("raw_code") or "") or None


def _tested(node: Node, nodes: Mapping[str, Node], specs: Mapping[str, dg.AssetSpec]) -> str | None:
    """The model that a test is shown with: the one it is attached to, else the last in lineage of those it reads."""
    if node.get("attached_node") in specs:
        return str(node["attached_node"])
    named = (node["config"].get("meta") or {}).get("dagster", {}).get("ref", {}).get("name")
    read_models = sorted(parent for parent in _parents(node) if parent in specs)
    for parent in read_models:
        if named and nodes[parent]["name"] == named:
            return parent
    last = [
        one for one in read_models if not any(one in _ancestors(other, nodes) for other in read_models if other != one)
    ]
    return last[0] if last else None


def _parents(node: Node) -> list[str]:
    # A seed depends on macros alone and has no such list.
    return list(node["depends_on"].get("nodes") or [])


def _ancestors(unique_id: str, nodes: Mapping[str, Node]) -> set[str]:
    found: set[str] = set()
    waiting = [unique_id]
    while waiting:
        for parent in _parents(nodes[waiting.pop()]):
            if parent in nodes and parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def _rows_of(landed: Node) -> str | None:
    """The table that something landed tells the rows of in another way (what each night knew of it, its sums), which
    the same step makes; None if there is none."""
    table: str | None = landed["config"]["meta"].get("rows_of")
    return table
