"""The contract files against the catalog and the seeds, read as plain YAML and CSV.

Nothing here goes through the loader or `loompin.contracts`: what they would misread, this would not. What becomes
of the seeds' cells is tested elsewhere.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "tests" / "reference"
DOMAINS = ROOT / "dbt_project" / "models" / "domains"
SEEDS = ROOT / "seeds"

# Inputs that the catalog implies: their columns, in this order, each required in a file. `price_entries`,
# `survey_topics`, `topic_aliases` and `ab_events` are in the catalog by name, without a sample.
IMPLIED = {
    "usage_events": "event_id tenant_id driver_key quantity occurred_at received_at cancels_event_id",
    "subscriptions": "id tenant_id plan currency started_on ended_on net_terms_days minimum_commitment",
    "price_entries": "id price_book item_key pricing_model tier_up_to unit_price flat_fee package_size free_units "
    "valid_from valid_to",
    "price_book_assignments": "tenant_id price_book valid_from valid_to",
    "payments": "id invoice_id amount currency paid_at",
    "survey_responses": "response_id survey_id tenant_id customer_id submitted_at received_at csat nps_score text "
    "sentiment_score joy anger fear",
    "survey_topics": "survey_id topic_id response_id category",
    "topic_aliases": "topic_id alias valid_from valid_to",
    "topic_overrides": "topic_id entity_id score assigned_at",
    "segment_members": "segment_id customer_id valid_from valid_to",
    "journey_events": "journey_id customer_id step occurred_at",
    "ab_events": "id ab_test_id variant subject_id event_name occurred_at",
    "kpi_readings": "category measure period_start value unit tenant_id",
}
# Where the implied inputs belong that the table of the catalog does not list.
IMPLIED_DOMAIN = {
    "usage_events": "supply_chain",
    "subscriptions": "supply_chain",
    "price_book_assignments": "product",
    "payments": "supply_chain",
    "survey_responses": "customer_intelligence",
    "topic_overrides": "customer_intelligence",
    "segment_members": "strategy",
    "journey_events": "strategy",
    "kpi_readings": "monitoring",
}
# Columns that a file may bring beside those that it must bring.
GAINED = {
    "tenants": "slug received_at",
    "plans": "received_at",
    "cost_drivers": "received_at",
    "subscriptions": "received_at",
    "price_books": "received_at",
    "price_entries": "received_at",
    "price_book_assignments": "received_at",
    "payments": "received_at",
    "customer_events": "customer_id occurred_at received_at product_id",
    "products": "tenant_id",
    "product_variants": "tenant_id",
    "supply_orders": "tenant_id amount currency",
    "nps_events": "submitted_at received_at",
    "identity_graph": "tenant_id name email date_of_birth city received_at",
    "surveys": "started_on",
    "messaging_hourly_volume": "date",
    "action_logs": "occurred_at",
    "reflex_logs": "occurred_at",
    "sync_history": "occurred_at",
}
NIGHT_ENDS_WITHOUT = {
    "tenants", "plans", "cost_drivers", "subscriptions", "price_books", "price_entries", "price_book_assignments",
    "usage_events", "payments",
}  # fmt: skip
TENANT_SLUG = {"usage_events", "subscriptions", "price_book_assignments"}

# How an awkward cell of the catalog must be declared to be read: kind of cell -> what the column's format may be.
FORMATS_OF_KIND = {
    "stray_quote": {"id"},
    "bool_text": {"boolean"},
    "percent_text": {"percent", "metric"},
    "money_suffix": {"metric"},
    "duration_unit": {"duration"},
    "byte_unit": {"bytes"},
    "year_month": {"month"},
    "iso_date": {"date", "timestamp"},
    "hhmm": {"time"},
    "json_array": {"json"},
    "json_object": {"json", "text"},
    "quoted_text": {"quoted"},
    "none_text": {"text"},
    "dsl_expr": {"text"},
}


def catalog() -> list[dict[str, str]]:
    """The 94 tables of the catalog."""
    with (REFERENCE / "tables.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def declared() -> dict[str, dict[str, Any]]:
    """Every declared source table by name, with its domain."""
    tables: dict[str, dict[str, Any]] = {}
    for path in sorted(DOMAINS.glob("*.yml")):
        for source in yaml.safe_load(path.read_text(encoding="utf-8"))["sources"]:
            assert source["name"] == path.stem
            assert source["schema"] == "source"
            for table in source["tables"]:
                assert table["name"] not in tables, f"{table['name']} is declared twice"
                tables[table["name"]] = {**table, "domain": path.stem, "meta": table.get("config", {}).get("meta", {})}
    return tables


def meta(column: dict[str, Any]) -> dict[str, Any]:
    return column.get("config", {}).get("meta", {})


def names(table: dict[str, Any], *origins: str) -> list[str]:
    """Names of the columns of these origins, in order; of all columns without one."""
    return [c["name"] for c in table["columns"] if not origins or meta(c).get("origin", "catalog") in origins]


def format_of(column: dict[str, Any]) -> str:
    """The text format of a column: as declared, else the one that goes with its type."""
    return str(meta(column).get("format", "text" if column["data_type"] == "varchar" else column["data_type"]))


def seed_files() -> dict[Path, str]:
    """Every seed file and its table: `t.csv`, or any file in a folder `t`."""
    files = {}
    for path in sorted(SEEDS.rglob("*.csv")):
        steps = [path.stem, *reversed(path.relative_to(SEEDS).parts[:-1])]
        files[path] = next((step for step in steps if step in TABLES), path.stem)
    return files


def wrong_header(header: list[str], table: dict[str, Any]) -> list[str]:
    """What a file with this header would be reported for."""
    problems = [f"lacks {name}" for name in names(table, "catalog") if name not in header]
    problems += [f"has the unknown column {name}" for name in header if name not in names(table, "catalog", "gained")]
    return problems + [f"names {name} twice" for name in sorted({n for n in header if header.count(n) > 1})]


def cleaned(cell: str) -> str:
    """An id without backticks and without a quote that has no partner."""
    cell = cell.replace("`", "").strip()
    return cell.replace('"', "") if cell.count('"') == 1 else cell


TABLES = declared()


def test_the_catalog_is_declared_and_nothing_else_is() -> None:
    listed = {row["table"]: row["domain"] for row in catalog() if row["origin"] == "source"}
    assert len(listed) == 77
    expected = listed | IMPLIED_DOMAIN
    assert {name: table["domain"] for name, table in TABLES.items()} == expected


@pytest.mark.parametrize("row", [row for row in catalog() if row["sample_rows"] == "5" and row["origin"] == "source"],
                         ids=lambda row: row["table"])  # fmt: skip
def test_the_catalogs_columns_come_first_and_in_order(row: dict[str, str]) -> None:
    table = TABLES[row["table"]]
    expected = row["catalog_columns"].split()
    assert names(table)[: len(expected)] == expected
    assert names(table, "catalog") == expected, "what the catalog does not list is gained or derived"


@pytest.mark.parametrize("name", IMPLIED)
def test_implied_inputs_have_their_columns(name: str) -> None:
    expected = IMPLIED[name].split()
    assert names(TABLES[name])[: len(expected)] == expected
    assert names(TABLES[name], "catalog") == expected


def test_gained_columns_are_optional_and_nothing_else_is() -> None:
    gained = {name: " ".join(names(table, "gained")) for name, table in TABLES.items() if names(table, "gained")}
    assert gained == GAINED


@pytest.mark.parametrize("name", TABLES)
def test_every_table_and_column_is_described(name: str) -> None:
    table = TABLES[name]
    assert table["description"].startswith("One row per "), "the first sentence states the grain"
    for column in table["columns"]:
        assert len(column.get("description", "").strip()) > 3, column["name"]
        assert column["description"].strip().endswith("."), column["name"]
        if meta(column).get("unit") in {"ms", "bytes", "usd"}:
            said = {"ms": "millisecond", "bytes": "bytes", "usd": "US dollar"}[meta(column)["unit"]]
            assert said in column["description"], f"{column['name']}: the unit stands in the comment"


def test_tables_with_a_tenant_say_so() -> None:
    for name, table in TABLES.items():
        refer = [c["name"] for c in table["columns"] if meta(c).get("references", {}).get("to") == "tenants.id"]
        assert refer == (["tenant_id"] if "tenant_id" in names(table) else []), name
        assert table["meta"].get("tenant") == (refer[0] if refer else None), name
        assert ("tenant_ref" in names(table, "derived")) == bool(refer), name
        assert ("tenant_slug" in names(table, "derived")) == (name in TENANT_SLUG), name


def test_an_unknown_tenant_is_quarantined_only_where_it_is_billed() -> None:
    quarantined = set()
    for name, table in TABLES.items():
        for column in table["columns"]:
            reference = meta(column).get("references", {})
            if reference.get("to") == "tenants.id" and reference.get("orphan", "warn") != "warn":
                assert reference["rule"] == "unknown_tenant", name
                quarantined.add(name)
    assert quarantined == TENANT_SLUG


def test_references_lead_to_a_key() -> None:
    # A sku is unique within its tenant, by a row of validation_rules.
    for name, table in TABLES.items():
        for column in table["columns"]:
            if "references" in meta(column):
                target, key = meta(column)["references"]["to"].split(".")
                is_key = TABLES[target]["meta"]["key"] == [key] or (target, key) == ("product_variants", "sku")
                assert is_key, f"{name}.{column['name']} refers to {target}.{key}"


def test_the_night_ends_without_the_tables_of_billing() -> None:
    assert {name for name, table in TABLES.items() if table["meta"].get("night_ends_without")} == NIGHT_ENDS_WITHOUT


def test_personal_data_has_a_class() -> None:
    for name, table in TABLES.items():
        for column in table["columns"]:
            personal = meta(column).get("personal")
            if column["name"] == "email":
                assert personal == "email", name
            if column["name"] in {"owner", "agent_name"}:
                assert personal == "name", name
            if column["name"] == "name" and name in {"users", "customers"}:
                assert personal == "name", name
            if column["data_type"] == "json":
                assert personal == "json", f"{name}.{column['name']}"
            if format_of(column) == "quoted":
                assert personal == "free_text", f"{name}.{column['name']}"
    for name, column_name, personal in [
        ("user_security", "last_login_ip", "ip"),
        ("api_keys", "prefix", "token"),
        ("survey_responses", "text", "free_text"),
    ]:
        assert meta(next(c for c in TABLES[name]["columns"] if c["name"] == column_name))["personal"] == personal


def test_each_published_table_has_a_mart_with_the_same_columns() -> None:
    for path in sorted(DOMAINS.glob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        tables = content["sources"][0]["tables"]
        published = {t["name"]: t for t in tables if TABLES[t["name"]]["meta"].get("published", True)}
        models = {model["name"]: model for model in content["models"]}
        assert list(models) == list(published), path.name
        for name, model in models.items():
            assert model["columns"] is published[name]["columns"], f"{name}: an anchor keeps the two lists one"
            assert model["description"] == published[name]["description"]
            assert model["config"]["contract"]["enforced"] is True


def test_what_the_catalog_lists_is_published() -> None:
    hidden = {name for name, table in TABLES.items() if not table["meta"].get("published", True)}
    # The platform's links are published with those found, by a mart of its own (tests/test_linkage.py).
    assert hidden & {row["table"] for row in catalog()} == {"identity_graph"}
    assert (DOMAINS.parent / "marts" / "customer_intelligence" / "identity_graph.sql").is_file()


def test_awkward_cells_have_a_format_that_reads_them() -> None:
    with (REFERENCE / "catalog_quirks.csv").open(newline="", encoding="utf-8") as file:
        quirks = list(csv.DictReader(file))
    sampled = {row["table"] for row in catalog() if row["sample_rows"] == "5" and row["origin"] == "source"}
    read = 0
    for quirk in quirks:
        name = next((n for n in quirk["table"].split("/") if n in sampled), None)
        if name is None or quirk["kind"] not in FORMATS_OF_KIND:
            continue
        column = next(c for c in TABLES[name]["columns"] if c["name"] == quirk["column"])
        assert format_of(column) in FORMATS_OF_KIND[quirk["kind"]], (name, quirk)
        read += 1
    assert len(quirks) == 507
    assert read > 250


@pytest.mark.parametrize("path", seed_files(), ids=lambda path: str(path.relative_to(SEEDS)))
def test_seed_headers_satisfy_their_contract(path: Path) -> None:
    name = seed_files()[path]
    assert name in TABLES, f"{path.name} belongs to no table"
    assert path.is_relative_to(SEEDS / TABLES[name]["domain"])
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert wrong_header(header, TABLES[name]) == []
    assert {len(row) for row in rows} <= {len(header)}, "no ragged row"


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table["meta"].get("key")])
def test_keys_tell_the_seed_rows_apart(name: str) -> None:
    """Rows of one key are versions of one row and are told apart by the time at which they came."""
    table = TABLES[name]
    rows: list[dict[str, str]] = []
    for path in (path for path, of in seed_files().items() if of == name):
        with path.open(newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    told_by = [*table["meta"]["key"], "received_at"]
    keys = Counter(tuple(cleaned(row.get(column, "")) for column in told_by) for row in rows)
    assert [key for key, count in keys.items() if count > 1] == []
    required = [c["name"] for c in table["columns"] if meta(c).get("not_null")]
    assert [(row, column) for row in rows for column in required if cleaned(row[column]) in {"", "NULL"}] == []


def test_a_wrong_header_is_found() -> None:
    users = TABLES["users"]
    assert wrong_header(["id", "tenant_id", "email", "name"], users) == ["lacks role"]
    assert wrong_header([*names(users, "catalog"), "tenant_ref"], users) == ["has the unknown column tenant_ref"]
    assert wrong_header([*names(users, "catalog"), "role"], users) == ["names role twice"]
    assert cleaned('`key_002"') == "key_002"
