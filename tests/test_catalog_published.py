"""Every cell of the catalog's 385 sample rows in the published file of a real night.

The seeds and the golden rows are read here with `csv` and turned into what the design says they must be published as;
neither the loader nor the contracts have a part in it.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

ROOT = Path(__file__).resolve().parent.parent
SEEDS, GOLDEN, REFERENCE = ROOT / "seeds", ROOT / "tests" / "golden", ROOT / "tests" / "reference"

Row = dict[str, str]


def read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


CATALOG = {row["table"]: row for row in read(REFERENCE / "tables.csv")}
SAMPLED = {
    table: read(SEEDS / row["domain"] / f"{table}.csv")
    for table, row in CATALOG.items()
    if row["origin"] == "source" and int(row["sample_rows"])
}
GOLDEN_ROWS = {
    table: read(GOLDEN / f"{table}.csv")
    for table, row in CATALOG.items()
    if row["origin"] == "derived" and int(row["sample_rows"])
}

# What the cells of a column are, from the list of awkward cells: one such cell decides for its whole column.
KINDS = {
    "percent_text": "percent", "duration_unit": "duration", "byte_unit": "bytes", "year_month": "month", "hhmm": "time",
    "bool_text": "boolean", "iso_date": "date", "json_array": "json", "json_object": "json", "money_suffix": "metric",
    "quoted_text": "quoted", "stray_quote": "id",
}  # fmt: skip
TYPES = {
    "percent": "DOUBLE", "duration": "BIGINT", "bytes": "BIGINT", "month": "DATE", "time": "TIME", "boolean": "BOOLEAN",
    "date": "DATE", "json": "JSON", "metric": "DECIMAL(38,6)", "quoted": "VARCHAR", "id": "VARCHAR",
}  # fmt: skip
# Text, though some cells look like something else.
TEXT = {("validation_rules", "params"), ("system_settings", "value")}
METRICS = {("competitor_metrics", "value"), ("competitor_metrics", "delta")}
# Pseudonymised in what is published; every column named email is, too.
PSEUDONYMISED = {
    ("users", "name"), ("customers", "name"), ("user_security", "last_login_ip"), ("projects", "owner"),
    ("support_agent_performance", "agent_name"), ("api_keys", "prefix"),
}  # fmt: skip
NO_TENANT = {"global"}
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000}
BYTES = {"KB": 1000, "MB": 1000**2}


def kinds() -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for cell in read(REFERENCE / "catalog_quirks.csv"):
        kind = KINDS.get(cell["kind"])
        for table in cell["table"].split("/"):
            place = (table, cell["column"])
            # An id with a stray quote may be an id in JSON's clothes nowhere; any other kind is the stronger one.
            if kind and place not in TEXT and (place not in found or found[place] == "id"):
                found[place] = kind
    found.update(dict.fromkeys(METRICS, "metric"))
    return found


COLUMN_KINDS = kinds()


@pytest.fixture(scope="module")
def published(night_home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(duckdb.connect(str(night_home / "published" / "analytics.duckdb"), read_only=True)) as connection:
        yield connection


def rows_of(published: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    result = published.execute(f'select * from "{table}"')
    columns = [column[0] for column in result.description]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def types_of(published: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {row[0]: row[1] for row in published.execute(f'describe "{table}"').fetchall()}


# -- what a cell must become -----------------------------------------------------------------------------------------


def clean(raw: str, kind: str = "") -> str | None:
    """A cell's text without the catalog's decoration; None where it is no value."""
    text = raw.replace("`", "").strip()
    if kind in ("", "id") and text.count('"') % 2:
        text = text.replace('"', "")
    if kind == "quoted" and len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return None if text in ("", "NULL") else text


TENANTS = {str(clean(row["id"])): row["slug"] for row in SAMPLED["tenants"]}
USERS = [str(clean(row["id"])) for row in SAMPLED["users"]]


def tenant(ref: str | None) -> str | None:
    """The full id of a tenant that is written in full, shortened or as a slug; None if it is unknown."""
    if ref is None or ref in NO_TENANT:
        return None
    stem = ref.rstrip(".").rstrip("-")
    fitting = [
        identity
        for identity, slug in TENANTS.items()
        if ref in (identity, slug) or (stem != ref and identity.startswith(stem))
    ]
    assert len(fitting) < 2, ref
    return fitting[0] if fitting else None


def user(ref: str | None) -> str | None:
    """The full id of a user that is written in full or shortened; else what was written."""
    if ref is None:
        return None
    stem = ref.rstrip(".").rstrip("-")
    fitting = [identity for identity in USERS if identity == ref or (stem != ref and identity.startswith(stem))]
    return fitting[0] if len(fitting) == 1 else ref


def metric(text: str) -> tuple[Decimal, str]:
    unit = "usd" if "$" in text else "ratio" if "%" in text else "number"
    factor = {"K": 1000, "M": 10**6, "%": Decimal("0.01")}.get(text[-1], 1)
    return Decimal(text.strip("+$%KM")) * factor, unit


def scaled(text: str, units: dict[str, int]) -> int:
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", text)
    assert found, text
    return int(Decimal(found[1]) * units[found[2]])


def expected(table: str, column: str, raw: str, published_type: str) -> Any:
    """What a cell is published as, pseudonyms and redaction aside."""
    kind = COLUMN_KINDS.get((table, column), "")
    text = clean(raw, kind)
    if column == "tenant_id":
        return tenant(text)
    if column == "user_id":
        return user(text)
    if text is None:
        return None
    made = {
        "percent": lambda: float(Decimal(text[:-1]) / 100) if text.endswith("%") else float(text),
        "duration": lambda: scaled(text, MILLISECONDS),
        "bytes": lambda: scaled(text, BYTES),
        "month": lambda: date.fromisoformat(text + "-01"),
        "date": lambda: date.fromisoformat(text),
        "time": lambda: time.fromisoformat(text),
        "boolean": lambda: {"true": True, "false": False}[text],
        "json": lambda: json.loads(text),
        "metric": lambda: metric(text)[0],
    }.get(kind)
    if made is not None:
        return made()
    if published_type in ("BIGINT", "INTEGER"):
        return int(text)
    if published_type == "DOUBLE":
        return float(text)
    if published_type.startswith("DECIMAL"):
        return Decimal(text)
    return text


def shown(value: Any, kind: str) -> Any:
    """A published value as it is compared."""
    if kind == "json" and value is not None:
        return json.loads(value)
    return value


def is_pseudonymised(table: str, column: str) -> bool:
    return column == "email" or (table, column) in PSEUDONYMISED


# -- redaction -------------------------------------------------------------------------------------------------------

PERSONAL = [
    re.compile(r"\w@(\w|\.\.\.)"),
    re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b"),
    re.compile(r"(?<!\w)@\w+"),
    re.compile(r"\+?\d[\d ()-]{6,}\d"),
]
NAMES = {str(clean(row["name"])) for table in ("users", "customers") for row in SAMPLED[table]}
MARK = re.compile(r"\[[a-z_]+\]|<[a-z_]+>")


def is_personal(text: str) -> bool:
    return any(pattern.search(text) for pattern in PERSONAL) or any(
        re.search(rf"\b{re.escape(part)}\b", text, re.IGNORECASE) for name in NAMES for part in [name, *name.split()]
    )


def agrees(wanted: Any, found: Any) -> bool:
    """Whether a published value is the cell's: equal, or the cell's text with personal data taken out of it."""
    if found == wanted and type(found) is type(wanted):
        return not isinstance(wanted, str) or not PERSONAL[0].search(wanted)
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(agrees(wanted[key], found[key]) for key in wanted)
    if not isinstance(wanted, str) or not isinstance(found, str) or not MARK.search(found):
        return False
    kept = MARK.split(found)
    match = re.fullmatch("(.+?)".join(re.escape(part) for part in kept), wanted, re.DOTALL)
    return match is not None and all(is_personal(taken) for taken in match.groups())


# -- the tests -------------------------------------------------------------------------------------------------------


def test_the_catalog_is_whole() -> None:
    assert len(CATALOG) == 94
    assert sum(map(len, SAMPLED.values())) == 340
    assert sum(map(len, GOLDEN_ROWS.values())) == 45
    assert (len(SAMPLED), len(GOLDEN_ROWS)) == (68, 9)


@pytest.mark.parametrize("table", CATALOG)
def test_columns_keep_the_catalogs_names_and_order(published: duckdb.DuckDBPyConnection, table: str) -> None:
    columns = CATALOG[table]["catalog_columns"].split()
    found = list(types_of(published, table))
    assert found[: len(columns)] == columns
    assert found


@pytest.mark.parametrize("table", CATALOG)
def test_every_column_is_commented(published: duckdb.DuckDBPyConnection, table: str) -> None:
    bare = published.execute(
        "select column_name from duckdb_columns() where table_name = ? and coalesce(comment, '') = ''", [table]
    ).fetchall()
    assert bare == []
    (said,) = published.execute("select comment from duckdb_tables() where table_name = ?", [table]).fetchone() or ("",)
    assert said


@pytest.mark.parametrize("table", SAMPLED)
def test_every_sample_row_is_published_cell_by_cell(published: duckdb.DuckDBPyConnection, table: str) -> None:
    types, rows = types_of(published, table), rows_of(published, table)
    columns = CATALOG[table]["catalog_columns"].split()
    for number, sample in enumerate(SAMPLED[table], 2):
        fitting = [row for row in rows if all(fits(table, column, sample, row, types[column]) for column in columns)]
        same = sum(all(other[column] == sample[column] for column in columns) for other in SAMPLED[table])
        assert len(fitting) == same, f"{table}.csv line {number}: {nearest(table, columns, sample, rows, types)}"
        for row in fitting:
            check_beside(table, sample, row)


def fits(table: str, column: str, sample: Row, row: dict[str, Any], published_type: str) -> bool:
    kind = COLUMN_KINDS.get((table, column), "")
    wanted, found = expected(table, column, sample[column], published_type), shown(row[column], kind)
    if is_pseudonymised(table, column):
        # Which pseudonym it is, is tested for all of them together.
        return (found is None) == (wanted is None) and (found is None or found != wanted)
    return agrees(wanted, found)


def check_beside(table: str, sample: Row, row: dict[str, Any]) -> None:
    """The columns of ours that say more about a cell: how the tenant was written, the unit of a figure, the slug."""
    if "tenant_ref" in row and "tenant_id" in sample:
        assert row["tenant_ref"] == clean(sample["tenant_id"], "id")
    if "tenant_slug" in row and row["tenant_id"] is not None:
        assert row["tenant_slug"] == TENANTS[row["tenant_id"]]
    for column in ("value", "delta"):
        if (table, column) in METRICS:
            assert row[f"{column}_unit"] == metric(str(clean(sample[column])))[1]


def nearest(table: str, columns: list[str], sample: Row, rows: list[dict[str, Any]], types: dict[str, str]) -> str:
    """The published row that is most like a sample row, and the cells in which they differ."""
    best = max(rows, key=lambda row: sum(fits(table, c, sample, row, types[c]) for c in columns), default={})
    wrong = [column for column in columns if best and not fits(table, column, sample, best, types[column])]
    told = {c: (sample[c], expected(table, c, sample[c], types[c]), best[c]) for c in wrong}
    return f"(cell, expected, published) {told}" if best else "the table is empty"


@pytest.mark.parametrize("place", sorted(COLUMN_KINDS), ids=".".join)
def test_columns_have_the_types_of_the_design(published: duckdb.DuckDBPyConnection, place: tuple[str, str]) -> None:
    table, column = place
    if column not in CATALOG[table]["catalog_columns"].split():
        # The list names two tables where the catalog samples the first one only; the other has no such column.
        assert CATALOG[table]["sample_rows"] == "0"
        return
    assert types_of(published, table)[column] == TYPES[COLUMN_KINDS[place]]


@pytest.mark.parametrize("table", GOLDEN_ROWS)
def test_every_golden_row_occurs_exactly_once(published: duckdb.DuckDBPyConnection, table: str) -> None:
    rows = rows_of(published, table)
    for number, golden in enumerate(GOLDEN_ROWS[table], 2):
        fitting = [row for row in rows if all(same_as_golden(column, golden[column], row[column]) for column in golden)]
        assert len(fitting) == 1, f"{table}.csv line {number}: {golden} occurs {len(fitting)} times"


def same_as_golden(column: str, raw: str, found: Any) -> bool:
    """Whether a published value is a golden cell: tenants resolved, numbers at the catalog's decimals."""
    text = clean(raw)
    if column == "tenant_id":
        return bool(found == tenant(text))
    if text is None or found is None:
        return found is None and text is None
    if isinstance(found, int | float | Decimal) and not isinstance(found, bool):
        share = text.endswith("%")
        wanted = Decimal(text.rstrip("%")) / (100 if share else 1)
        places = Decimal(1).scaleb(wanted.as_tuple().exponent if share else Decimal(text).as_tuple().exponent)  # type: ignore[arg-type]
        return Decimal(repr(found) if isinstance(found, float) else found).quantize(places) == wanted
    return (found.isoformat() if isinstance(found, date) else str(found)) == text


def pseudonyms(published: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str, str]]:
    """(place, raw value, pseudonym) of every pseudonymised sample cell, rows told apart by their other cells."""
    for table, sample_rows in SAMPLED.items():
        columns = CATALOG[table]["catalog_columns"].split()
        types, rows = types_of(published, table), rows_of(published, table)
        for sample in sample_rows:
            row = next(row for row in rows if all(fits(table, c, sample, row, types[c]) for c in columns))
            for column in columns:
                raw = clean(sample[column], COLUMN_KINDS.get((table, column), ""))
                if is_pseudonymised(table, column) and raw is not None:
                    yield f"{table}.{column}", raw, row[column]


def test_pseudonyms_are_the_same_where_the_values_are(published: duckdb.DuckDBPyConnection) -> None:
    by_raw, by_pseudonym = defaultdict(set), defaultdict(set)
    places = Counter()
    for place, raw, pseudonym in pseudonyms(published):
        by_raw[raw].add(pseudonym)
        by_pseudonym[pseudonym].add(raw)
        places[place] += 1
    assert all(len(found) == 1 for found in by_raw.values()), by_raw
    assert all(len(found) == 1 for found in by_pseudonym.values()), by_pseudonym
    assert {f"{table}.{column}" for table, column in PSEUDONYMISED} <= set(places)
    assert {"users.email", "customers.email", "platform_team.email"} <= set(places)


def test_no_raw_personal_value_is_published(published: duckdb.DuckDBPyConnection, night_home: Path) -> None:
    raws = {raw for _, raw, _ in pseudonyms(published) if len(raw) > 5}
    assert len(raws) > 25
    listed = ", ".join("'" + raw.replace("'", "''") + "'" for raw in sorted(raws))
    columns = published.execute(
        "select table_name, column_name from duckdb_columns() where schema_name = 'main' and not internal"
        " and data_type in ('VARCHAR', 'JSON') order by all"
    ).fetchall()
    assert len(columns) > 300
    found = [
        (table, column, *hit)
        for table, column in columns
        for hit in published.execute(
            f"select distinct raw from (select unnest([{listed}]) as raw),"
            f' (select distinct "{column}" as c from "{table}") where contains(lower(cast(c as varchar)), lower(raw))'
        ).fetchall()
    ]
    assert found == []
    content = (night_home / "published" / "analytics.duckdb").read_bytes()
    assert [raw for raw in raws if raw.encode() in content] == []


def test_a_wrong_cell_would_be_found(published: duckdb.DuckDBPyConnection) -> None:
    """The comparison can fail: one cell changed, and the row is not found any more."""
    for table, column, wrong in (
        ("plans", "price_monthly", "500.00"), ("customers", "tenant_id", "`671f9511-f30c-...`"),
        ("documents", "size", "1.3MB"), ("webhooks", "event_types", '`["event.old"]`'), ("surveys", "title", "Q2 NPS"),
    ):  # fmt: skip
        types, rows = types_of(published, table), rows_of(published, table)
        sample = {**SAMPLED[table][0], column: wrong}
        columns = CATALOG[table]["catalog_columns"].split()
        assert not [row for row in rows if all(fits(table, c, sample, row, types[c]) for c in columns)], table
    golden = {**GOLDEN_ROWS["invoices"][1], "amount": "545.21"}
    rows = rows_of(published, "invoices")
    assert not [row for row in rows if all(same_as_golden(c, golden[c], row[c]) for c in golden)]
