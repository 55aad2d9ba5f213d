"""The shape of the dbt project, computed from its files: layers, contracts, descriptions, and SQL that may be written.

No baseline of tolerated violations. Each rule is a function from the project to what breaks it, and is shown to find a
planted violation. What the models compute is tested by dbt itself and by the tests of their subject.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "dbt_project"

with (ROOT / "tests" / "reference" / "tables.csv").open(encoding="utf-8", newline="") as _stream:
    CATALOG = list(csv.DictReader(_stream))
SOURCES = {row["table"]: row["domain"] for row in CATALOG if row["origin"] == "source"}
DERIVED = {row["table"]: row["domain"] for row in CATALOG if row["origin"] == "derived"}

_JINJA_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_SQL_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_STRING = re.compile(r"'(?:[^']|'')*'")
_REF = re.compile(r"\bref\(\s*'([^']+)'\s*\)")
_SOURCE = re.compile(r"\bsource\(\s*'([^']+)'\s*,\s*'([^']+)'\s*\)")
_PUBLISH = re.compile(
    r"\{\{ publish_source\(\s*'([a-z_]+)', '([a-z_]+)'(?:, texts=\{[^{}]*\})?(?:,\s+months=\([^{}]*\))?\s*\) \}\}\n"
)
_FORBIDDEN = {
    "~": "a regular-expression operator that another engine reads otherwise; use regexp_full_match or like",
    "//": "integer division that DuckDB 2.0 reads otherwise",
    "->": "a lambda or JSON arrow that DuckDB 2.0 reads otherwise",
    "now(": "a wall clock; use the macro night",
    "current_date": "a wall clock; use the macro night",
    "current_timestamp": "a wall clock; use the macro night",
    "get_current_": "a wall clock; use the macro night",
    "today(": "a wall clock; use the macro night",
    "random(": "another result each time",
    "uuid(": "another result each time",
}


@dataclass
class Model:
    """One model file: where it is, its text without comments, and what the YAML files say of it."""

    name: str
    layer: str
    folder: str
    text: str
    described: dict[str, Any] = field(default_factory=dict)

    @property
    def refs(self) -> set[str]:
        return set(_REF.findall(self.text))

    @property
    def sources(self) -> set[tuple[str, str]]:
        return set(_SOURCE.findall(self.text))

    @property
    def published_source(self) -> tuple[str, str] | None:
        call = _PUBLISH.fullmatch(self.text)
        return (call[1], call[2]) if call else None

    @property
    def columns(self) -> list[dict[str, Any]]:
        return self.described.get("columns") or []


@dataclass
class Project:
    models: dict[str, Model]
    seeds: set[str]
    macros: dict[str, str]
    unit_tested: set[str]
    without_key: set[str]
    settings: dict[str, Any]
    twice: list[str]

    def layer_of(self, name: str) -> str:
        return "seeds" if name in self.seeds else self.models[name].layer if name in self.models else "nothing"


def read(planted: dict[str, str] | None = None) -> Project:
    """The project as it is, with some files of `models/` added or replaced."""
    texts = dict(_model_files()) | (planted or {})
    described: dict[str, dict[str, Any]] = {}
    twice: list[str] = []
    unit_tested: set[str] = set()
    without_key: set[str] = set()
    for file in sorted(file for file in texts if file.endswith(".yml")):
        content = _parsed(texts[file])
        for model in content.get("models") or []:
            if model["name"] in described:
                twice.append(model["name"])
            described[model["name"]] = model
        unit_tested |= {test["model"] for test in content.get("unit_tests") or []}
        for table in (table for source in content.get("sources") or [] for table in source["tables"]):
            if not ((table.get("config") or {}).get("meta") or {}).get("key"):
                without_key.add(table["name"])
    models: dict[str, Model] = {}
    for file in sorted(file for file in texts if file.endswith(".sql")):
        place, name = Path(file).parts, Path(file).stem
        if name in models:
            twice.append(name)
        text = _SQL_COMMENT.sub("", _JINJA_COMMENT.sub("", texts[file]))
        models[name] = Model(name, place[0], place[1] if len(place) > 2 else "", text, described.get(name, {}))
    seeds = {file.stem for file in (PROJECT / "seeds").rglob("*.csv")}
    macros = {file.name: file.read_text(encoding="utf-8") for file in (PROJECT / "macros").rglob("*.sql")}
    settings = _parsed((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    return Project(models, seeds, macros, unit_tested, without_key, settings, twice)


@functools.cache
def _model_files() -> dict[str, str]:
    folder = PROJECT / "models"
    files = [*folder.rglob("*.yml"), *folder.rglob("*.sql")]
    return {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in files}


@functools.cache
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=yaml.CSafeLoader) or {}


# ------------------------------------------------------------------------------------------------------------- rules


def layering(project: Project) -> Iterator[str]:
    """Staging reads sources, the rest reads models; a mart reads a source only by publishing it."""
    may_read = {
        "staging": {"seeds"},
        "intermediate": {"seeds", "staging", "intermediate"},
        "marts": {"seeds", "staging", "intermediate", "marts"},
    }
    for model in project.models.values():
        if model.layer not in may_read:
            yield f"{model.name} is in no layer"
            continue
        for name in model.refs:
            if project.layer_of(name) not in may_read[model.layer]:
                yield f"{model.name} ({model.layer}) reads {name} ({project.layer_of(name)})"
        if model.sources and model.layer != "staging":
            yield f"{model.name} ({model.layer}) reads the source {model.sources}"
        if "publish_source" in model.text and (model.layer != "marts" or model.published_source is None):
            yield f"{model.name} does something else beside publishing a source"


def names_and_places(project: Project) -> Iterator[str]:
    """A file's name and folder say what it is; every table of the catalog is a mart in the folder of its domain."""
    yield from (f"{name} is there twice" for name in project.twice)
    for model in project.models.values():
        prefix = {"staging": "stg_", "intermediate": "int_", "marts": ""}.get(model.layer, "")
        if not model.name.startswith(prefix) or (model.layer == "marts" and model.name[:4] in ("stg_", "int_")):
            yield f"{model.name} is not named like a model of {model.layer}"
        if not model.described:
            yield f"{model.name} is described nowhere"
    for table, domain in (SOURCES | DERIVED).items():
        model = project.models.get(table)  # type: ignore[assignment]
        if model is None or (model.layer, model.folder) != ("marts", domain):
            yield f"{table} is no mart of {domain}"
        elif table in DERIVED and model.published_source is not None:
            yield f"{table} is derived and published as a source"
        elif model.published_source is not None and model.published_source != (domain, table):
            yield f"{table} publishes {model.published_source}"


def contracts(project: Project) -> Iterator[str]:
    """Every mart's contract is enforced, its columns are typed, and the catalog's columns come first, in order."""
    settings = project.settings["models"]["loompin"]["marts"]
    if settings.get("+contract") != {"enforced": True} or settings.get("+materialized") != "table":
        yield "dbt_project.yml does not enforce the marts' contracts, or does not make them tables"
    first = {row["table"]: row["catalog_columns"].split() for row in CATALOG}
    for model in _marts(project):
        config = model.described.get("config") or {}
        # Which months of its table are made anew is a mart's own.
        text = re.sub(r"\{\{ config\(\*\*by_service_month\('\w+'(, '\w+')?\)\) \}\}", "", model.text)
        if config.get("contract", {"enforced": True}) != {"enforced": True} or "config(" in text:
            yield f"{model.name} has settings of its own"
        names = [column["name"] for column in model.columns]
        if not names or not all(column.get("data_type") for column in model.columns):
            yield f"{model.name} has columns without a type"
        wanted = first.get(model.name, [])
        if names[: len(wanted)] != wanted:
            yield f"{model.name} begins with {names[: len(wanted)]}, the catalog with {wanted}"


def descriptions(project: Project) -> Iterator[str]:
    """The grain is the first sentence of a mart's description, and every column says what it holds."""
    for model in project.models.values():
        description = (model.described.get("description") or "").strip()
        if model.layer == "marts" and not re.match(r"One row( (a|an|per|for|of)\b|\.)", description):
            yield f"{model.name} does not begin with its grain: {description[:40]!r}"
        if not description.endswith("."):
            yield f"{model.name} is not described in sentences"
        if model.layer == "marts":
            for column in model.columns:
                if not (column.get("description") or "").strip().endswith("."):
                    yield f"{model.name}.{column['name']} is not described"


def key_and_unit_tests(project: Project) -> Iterator[str]:
    """Each mart that computes something has a test of its key and, itself or in the steps before it, a unit test.

    A mart of rows from a table without a key has none either; a view of all events has the keys of its steps.
    """
    for model in _marts(project):
        if model.published_source is not None:
            continue
        is_view = model.described.get("config", {}).get("materialized") == "view"
        tests = [*_tests(model.described), *(test for column in model.columns for test in _tests(column))]
        if not is_view and not {"unique_key", "unique"} & set(tests) and not model.refs <= project.without_key:
            yield f"{model.name} has no test of its key"
        steps = {name for name in model.refs if project.layer_of(name) == "intermediate"}
        if not ({model.name} | steps) & project.unit_tested:
            yield f"{model.name} has no unit test"


def portable_sql(project: Project) -> Iterator[str]:
    """No operator that means something else elsewhere, no clock but the night, nothing that differs each time."""
    for model in project.models.values():
        sql = _STRING.sub("''", _JINJA.sub("", model.text)).lower()
        for sign, why in _FORBIDDEN.items():
            if sign in sql:
                yield f"{model.name} uses `{sign}`: {why}"
    for name, text in project.macros.items():
        sql = _STRING.sub("''", _JINJA.sub("", _SQL_COMMENT.sub("", _JINJA_COMMENT.sub("", text)))).lower()
        for sign, why in _FORBIDDEN.items():
            if sign in sql:
                yield f"macros/{name} uses `{sign}`: {why}"


def raw_texts(project: Project) -> Iterator[str]:
    """What customers wrote leaves staging through int_texts alone, which redacts it."""
    for model in project.models.values():
        if model.layer != "staging" and model.name != "int_texts" and re.search(r"\braw_text\b", model.text):
            yield f"{model.name} reads raw texts"
        columns = [column["name"] for column in model.columns]
        if model.layer != "staging" and "raw_text" in columns:
            yield f"{model.name} has a column of raw texts"


RULES: list[Callable[[Project], Iterator[str]]] = [
    layering, names_and_places, contracts, descriptions, key_and_unit_tests, portable_sql, raw_texts,
]  # fmt: skip


def _marts(project: Project) -> list[Model]:
    return [model for model in project.models.values() if model.layer == "marts"]


def _tests(described: dict[str, Any]) -> list[str]:
    tests = described.get("data_tests") or described.get("tests") or []
    return [test if isinstance(test, str) else next(iter(test)) for test in tests]


# ------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_the_rule(rule: Callable[[Project], Iterator[str]]) -> None:
    assert sorted(rule(read())) == []


@pytest.mark.parametrize(
    ("rule", "file", "change"),
    [
        (layering, "staging/core_platform/stg_users.sql", "select * from {{ ref('tenants') }}"),
        (layering, "intermediate/int_users.sql", "select * from {{ source('core_platform', 'users') }}"),
        (layering, "intermediate/int_users.sql", "select * from {{ ref('users') }}"),
        (layering, "marts/core_platform/users.sql", "select * from {{ source('core_platform', 'users') }}"),
        (layering, "marts/core_platform/users.sql", "{{ publish_source('core_platform', 'users') }} limit 1"),
        (layering, "marts/core_platform/users.sql", "select * from {{ ref('no_such_model') }}"),
        (names_and_places, "marts/core_platform/stg_users.sql", "select 1 as id"),
        (names_and_places, "marts/product/users.sql", "{{ publish_source('core_platform', 'users') }}\n"),
        (names_and_places, "marts/core_platform/users.sql", "{{ publish_source('core_platform', 'plans') }}\n"),
        (names_and_places, "marts/supply_chain/invoices.sql", "{{ publish_source('supply_chain', 'invoices') }}\n"),
        (contracts, "marts/core_platform/users.sql", "{{ config(contract={'enforced': false}) }} select 1 as id"),
        (contracts, "new.yml", "models: [{name: suppliers, columns: [{name: id, data_type: varchar}]}]"),
        (contracts, "new.yml", "models: [{name: suppliers, columns: [{name: a}]}]"),
        (contracts, "new.yml", "models: [{name: survey_topics, config: {contract: {enforced: false}}}]"),
        (descriptions, "new.yml", "models: [{name: suppliers, description: All suppliers.}]"),
        (descriptions, "new.yml", "models: [{name: suppliers, description: One row., columns: [{name: a}]}]"),
        (key_and_unit_tests, "marts/strategy/new_mart.sql", "select id from {{ ref('users') }}"),
        (portable_sql, "marts/strategy/new_mart.sql", "select 7 // 2 as half"),
        (portable_sql, "marts/strategy/new_mart.sql", "select name ~ 'a.*' as begins from {{ ref('users') }}"),
        (portable_sql, "marts/strategy/new_mart.sql", "select list_transform(l, x -> x + 1) as l from t"),
        (portable_sql, "marts/strategy/new_mart.sql", "select CURRENT_DATE as day"),
        (portable_sql, "marts/strategy/new_mart.sql", "select now() as moment"),
        (raw_texts, "marts/strategy/new_mart.sql", "select raw_text as words from {{ ref('stg_customer_events') }}"),
        (raw_texts, "new.yml", "models: [{name: suppliers, columns: [{name: raw_text}]}]"),
    ],
)  # fmt: skip
def test_the_rule_finds_a_planted_violation(rule: Callable[[Project], Iterator[str]], file: str, change: str) -> None:
    # YAML files are read in the order of their paths, so this one has the last word on the models it names.
    planted = file if file.endswith(".sql") else "zzz.yml"
    assert set(rule(read({planted: change}))) - set(rule(read()))


def test_comments_and_strings_are_no_violation() -> None:
    text = "-- now() // {{ ref('x') }}\n{# -> #}\nselect 'https://a' as url"
    planted = read({"marts/strategy/new_mart.sql": text})
    assert set(portable_sql(planted)) == set(portable_sql(read()))
    assert set(layering(planted)) == set(layering(read()))


def test_the_project_needs_nothing_from_outside() -> None:
    names = {"packages.yml", "dependencies.yml", "package-lock.yml"}
    assert [path for path in PROJECT.iterdir() if path.name in names] == []
    assert read().settings["flags"]["send_anonymous_usage_stats"] is False
