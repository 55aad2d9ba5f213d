# ruff: noqa: DTZ001 (timestamps without a zone are UTC in this project)
"""Every format of the contracts, on texts that fit and texts that do not: exact values, never an error."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loompin import formats, landing
from loompin.contracts import Column
from loompin.formats import Hints
from loompin.sqltext import literal

WRONG = object()
"""What a text that does not fit its format is: no value, and not missing either."""


def column(kind: str, data_type: str) -> Column:
    return Column(name="x", data_type=data_type, description="", format=kind, origin="catalog")


COLUMNS = {
    "text": column("text", "varchar"),
    "id": column("id", "varchar"),
    "quoted": column("quoted", "varchar"),
    "json": column("json", "json"),
    "percent": column("percent", "double"),
    "duration": column("duration", "bigint"),
    "bytes": column("bytes", "bigint"),
    "month": column("month", "date"),
    "metric": column("metric", "decimal(38,6)"),
    "integer": column("integer", "bigint"),
    "double": column("double", "double"),
    "decimal": column("decimal", "decimal(38,6)"),
    "money": column("decimal", "decimal(18,2)"),
    "exact": column("decimal", "decimal(38,12)"),
    "whole": column("decimal", "decimal(10,0)"),
    "boolean": column("boolean", "boolean"),
    "date": column("date", "date"),
    "timestamp": column("timestamp", "timestamp"),
    "time": column("time", "time"),
}

GOOD: dict[str, dict[str, Any]] = {
    "text": {
        "plain": "plain",
        "  kept  ": "  kept  ",
        "`code`": "code",
        'say "hi"': 'say "hi"',
        "None": "None",
        "null": "null",
        "=1+1": "=1+1",
        "'; drop table users; --": "'; drop table users; --",
        "../../etc/passwd": "../../etc/passwd",
        "Grüße 你好 🙂": "Grüße 你好 🙂",
        "a\nb": "a\nb",
        "Chrome/120...": "Chrome/120...",
    },
    "id": {
        "acme_1": "acme_1",
        '"acme_1': "acme_1",
        'acme_1"': "acme_1",
        '`"acme_1`': "acme_1",
        'ac"me': 'ac"me',
        "#1": "#1",
        "!1": "!1",
        '"acme_1"': '"acme_1"',
        " `u_1` ": "u_1",
        "550e8400-e29b-...": "550e8400-e29b-...",
    },
    "quoted": {
        '"Great product"': "Great product",
        '"one" and "two"': 'one" and "two',
        'half"': 'half"',
        "plain": "plain",
        '"two\nlines"': "two\nlines",
    },
    "json": {'["a", "b"]': '["a", "b"]', '{"k": 1}': '{"k": 1}',
             '`{"k": 1}`': '{"k": 1}', '{"k": "`x`"}': '{"k": "x"}'},
    "percent": {
        "45%": 0.45, "99.9%": 0.999, "0.1%": 0.001, "0.45": 0.45, "-1.2%": -0.012, "+5%": 0.05, "100%": 1.0,
        "99.99%": 0.9999, "33.333%": 0.33333, ".5%": 0.005, "1e-3": 0.001,
    },
    "duration": {
        "12.5s": 12500, "24ms": 24, "1.2s": 1200, "12m": 720_000, "1h": 3_600_000, "2d": 172_800_000, "0s": 0,
        "5 min": 300_000, "`24ms`": 24, "0.0005s": 1, "24": 24, "1.005s": 1005,
    },
    "bytes": {
        "1.2MB": 1_200_000, "450KB": 450_000, "2 GB": 2_000_000_000, "1KiB": 1024, "12B": 12, "1.5mb": 1_500_000,
        "7": 7,
        "1TB": 10**12,
    },
    "month": {"2026-03": date(2026, 3, 1), "2026-03-15": date(2026, 3, 15), " 2026-12 ": date(2026, 12, 1)},
    "metric": {
        "$1.2M": Decimal(1200000), "+1.2%": Decimal("0.012"), "-2": Decimal(-2), "45%": Decimal("0.45"),
        "1.8": Decimal("1.8"), "35": Decimal(35), "-$3.5K": Decimal(-3500), "$-3.5K": Decimal(-3500),
        "2B": Decimal(2000000000), "0.000001": Decimal("0.000001"), "99.9999%": Decimal("0.999999"),
    },
    "integer": {
        "1": 1, "-7": -7, "+7": 7, "007": 7, "1.0": 1, "1.": 1, " 12 ": 12, "`12`": 12,
        "9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63),
    },
    "double": {
        "0.5": 0.5, "-1e-3": -0.001,
        "NaN": math.nan, "nan": math.nan, "Infinity": math.inf, "-inf": -math.inf, " 2 ": 2.0,
        ".5": 0.5, "5": 5.0,
    },
    "decimal": {
        "1": Decimal(1), "-1.5": Decimal("-1.5"), "+1.5": Decimal("1.5"), "0.999999": Decimal("0.999999"),
        ".5": Decimal("0.5"), "5.": Decimal(5), "1.10000000": Decimal("1.1"), "125000": Decimal(125000),
        "12345678901234567890123456.123456": Decimal("12345678901234567890123456.123456"), "-0": Decimal(0),
    },
    "money": {"19.99": Decimal("19.99"), "-0.01": Decimal("-0.01"), "19.990": Decimal("19.99"),
              "9999999999999999.99": Decimal("9999999999999999.99")},
    "exact": {"0.000000000001": Decimal("0.000000000001"), "62.5": Decimal("62.5")},
    "whole": {"12": Decimal(12), "12.": Decimal(12), "12.0": Decimal(12)},
    "boolean": {"true": True, "false": False, "TRUE": True, "False": False, " true ": True},
    "date": {
        "2026-02-01": date(2026, 2, 1), "2024-02-29": date(2024, 2, 29), "2026-02-01T00:00:00Z": date(2026, 2, 1),
        "2026-02-01 00:00:00": date(2026, 2, 1), "`2026-02-01`": date(2026, 2, 1),
    },
    "timestamp": {
        "2026-01-15T23:59:59.999Z": datetime(2026, 1, 15, 23, 59, 59, 999000),
        "2026-01-15T23:59:59": datetime(2026, 1, 15, 23, 59, 59),
        "2026-01-15 23:59:59": datetime(2026, 1, 15, 23, 59, 59),
        "2026-01-15T23:59": datetime(2026, 1, 15, 23, 59),
        "2026-01-15": datetime(2026, 1, 15),
        "2026-01-15T01:30:00+02:00": datetime(2026, 1, 14, 23, 30),
        "2026-01-15T01:30:00+0200": datetime(2026, 1, 14, 23, 30),
        "2026-01-15 20:00:00-05": datetime(2026, 1, 16, 1, 0),
        "2026-01-15T12:00:00-09:30": datetime(2026, 1, 15, 21, 30),
        "2026-01-15 12:00:00 UTC": datetime(2026, 1, 15, 12, 0),
        "2026-01-15T12:00:00.123456+00:00": datetime(2026, 1, 15, 12, 0, 0, 123456),
        " 2026-01-15T12:00:00Z ": datetime(2026, 1, 15, 12, 0),
        "2026-01-15t12:00:00z": datetime(2026, 1, 15, 12, 0),
    },
    "time": {"09:00": time(9), "23:59:59": time(23, 59, 59), "09:00:00.5": time(9, 0, 0, 500000)},
}  # fmt: skip

BAD: dict[str, list[str]] = {
    "json": ["{", "{'k': 1}", "[1,", "hello"],
    "percent": ["half", "45%%", "%", "45 percent", "1.2.3%"],
    "duration": ["12.5 parsecs", "fast", "-5s", "s", "1.2.3s", "12 S", "1e3s", "99999999999999999999d"],
    "bytes": ["1.2 parsecs", "big", "-1KB", "KB", "1.2.3MB", "1e3KB", "99999999999999999999TB"],
    "month": ["2026-13", "2026", "March", "2026-3", "2026-00"],
    "metric": ["$", "%", "much", "1.2.3", "1,200", "€5", "0.0000001", "1.23456%", "5 %K", "NaN"],
    "integer": ["1.5", "one", "1e3", "1_000", "0x10", "12 apples", "9223372036854775808", "-", "1,5", "NaN", "true"],
    "double": ["high", "1,5", "0.5.1", "0x10", "1d", "--1"],
    "decimal": ["1.1234567", "1e3", "1e-9", "1_000", "NaN", "Infinity", "1,5", "abc", "0x10", "1" * 33, "-", ".",
    "1-1"],
    "money": ["19.999", "1e2", "10000000000000000", "$5"],
    "exact": ["0.0000000000001", "1e-12"],
    "whole": ["12.5", "12345678901"],
    "boolean": ["yes", "1", "0", "t", "f", "on", "truee"],
    "date": [
        "2026-02-30", "2026-13-01", "2025-02-29", "2026-2-1", "2026/02/01", "01.02.2026", "2026-02-01T12:00:00Z",
        "infinity",
        "epoch", "today", "20260201", "2026-02",
    ],
    "timestamp": [
        "2026-02-30T00:00:00Z", "2026-02-30", "yesterday", "infinity", "epoch", "-2026-01-01T00:00:00Z", "1767225600",
        "2026-01-15T25:00:00Z", "2026-01-15T12:61:00+02:00", "2026-01-15 12:00:00 Europe/Berlin", "15.01.2026 12:00",
        "2026-01-15T12:00:00+", "NaN",
    ],
    "time": ["9:00", "24:00", "25:00", "09:60", "noon", "09:00+02:00", "09"],
}  # fmt: skip

NOTHING = ["", "NULL", " ", " NULL ", "``", "`NULL`"]


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return landing.connect()


def read(
    connection: duckdb.DuckDBPyConnection, kind: str, text: str | None, hints: Hints = formats.NOTHING_KNOWN
) -> Any:
    """The value that a text of a format gives, WRONG if it does not fit, None if there is none."""
    row = connection.execute(
        f"select {formats.typed('t', COLUMNS[kind], hints)}, {formats.missing('t', COLUMNS[kind], hints)}"
        " from (select cast(? as varchar) as t)",
        [text],
    ).fetchone()
    assert row is not None
    value, missing = row
    assert not (missing and value is not None)
    return WRONG if value is None and not missing else value


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return repr(left) == repr(right)
    return type(left) is type(right) and left == right


@pytest.mark.parametrize(("kind", "text", "value"), [(k, t, v) for k, cases in GOOD.items() for t, v in cases.items()])
def test_a_text_that_fits_gives_its_exact_value(connection: Any, kind: str, text: str, value: Any) -> None:
    assert same(read(connection, kind, text), value)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in BAD.items() for text in texts])
def test_a_text_that_does_not_fit_is_refused(connection: Any, kind: str, text: str) -> None:
    assert read(connection, kind, text) is WRONG


@pytest.mark.parametrize("kind", [kind for kind in COLUMNS if kind != "text"])
@pytest.mark.parametrize("text", NOTHING)
def test_no_value_is_null_and_not_wrong(connection: Any, kind: str, text: str) -> None:
    assert read(connection, kind, text) is None


@pytest.mark.parametrize("text", ['"', '`"`', ' " '])
def test_a_quote_alone_is_no_id(connection: Any, text: str) -> None:
    assert read(connection, "id", text) is None


@pytest.mark.parametrize("text", ["", "NULL", "``", "`NULL`"])
def test_a_text_column_takes_empty_and_null_for_no_value_but_keeps_blanks(connection: Any, text: str) -> None:
    assert read(connection, "text", text) is None
    assert read(connection, "text", " ") == " "


def test_every_format_has_cases_and_words() -> None:
    assert {entry.format for entry in COLUMNS.values()} == set(formats._SAYS) | {"decimal"}
    for kind, entry in COLUMNS.items():
        assert kind in GOOD
        assert formats.says(entry)
        assert formats.can_fail(entry) == (kind in BAD)
    assert formats.says(COLUMNS["decimal"]) == "a number with at most 6 decimals and 32 digits before them"


def hints_of(text: str) -> Hints:
    """All that may be said of a file that holds this text."""
    return Hints(no_backtick="`" not in text, no_quote='"' not in text, nulls_read=text not in ("", "NULL"))


AWKWARD = st.one_of(
    st.sampled_from(
        [t for cases in GOOD.values() for t in cases] + [t for texts in BAD.values() for t in texts] + NOTHING
    ),
    st.text(alphabet=list('0123456789.,-+eE_%$KMBsmhdTZ: `"\tNULanxif[]{}/é\n'), max_size=12),
    st.text(max_size=8),
    st.from_regex(r"[+-]?[0-9]{0,40}[.]?[0-9]{0,14}(e-?[0-9]{1,3})?(ms|s|KB|TB|%|M|Z)?", fullmatch=True),
)


@given(text=AWKWARD)
def test_no_text_is_an_error_and_hints_change_nothing(text: str) -> None:
    connection = SHARED
    for kind in COLUMNS:
        assert same(read(connection, kind, text, hints_of(text)), read(connection, kind, text))


@given(value=st.decimals(min_value=-(10**20), max_value=10**20, places=6))
def test_decimals_come_back_exactly(value: Decimal) -> None:
    assert read(SHARED, "decimal", f"{value:f}") == value


@given(
    moment=st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),
    offset=st.integers(min_value=-14 * 60, max_value=14 * 60),
    separator=st.sampled_from("T "),
)
def test_timestamps_come_back_in_utc(moment: datetime, offset: int, separator: str) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    assert read(SHARED, "timestamp", zoned.isoformat(separator)) == zoned.astimezone(UTC).replace(tzinfo=None)
    assert read(SHARED, "timestamp", moment.isoformat(separator) + "Z") == moment
    assert read(SHARED, "timestamp", moment.isoformat(separator)) == moment


@given(milliseconds=st.integers(min_value=0, max_value=10**12))
def test_durations_come_back_in_milliseconds(milliseconds: int) -> None:
    assert read(SHARED, "duration", f"{milliseconds}ms") == milliseconds
    assert read(SHARED, "duration", f"{milliseconds // 1000}.{milliseconds % 1000:03d}s") == milliseconds


@given(thousandths=st.integers(min_value=-(10**7), max_value=10**7))
def test_percentages_are_the_nearest_ratio(thousandths: int) -> None:
    text = f"{Decimal(thousandths) / 1000:f}%"
    assert read(SHARED, "percent", text) == float(Decimal(thousandths) / 100_000)


@given(value=st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_integers_come_back(value: int) -> None:
    assert read(SHARED, "integer", str(value)) == value


@given(value=st.floats(allow_nan=False))
def test_doubles_come_back(value: float) -> None:
    assert same(read(SHARED, "double", repr(value)), value)


@pytest.mark.parametrize(("text", "unit"), [
    ("$1.2M", "usd"), ("45%", "ratio"), ("+1.2%", "ratio"), ("-2", "number"), ("", None), ("NULL", None),
])  # fmt: skip
def test_the_unit_of_a_metric(connection: Any, text: str, unit: str | None) -> None:
    sql = f"select {formats.unit_of(literal(text), COLUMNS['metric'])}"
    assert connection.execute(sql).fetchone() == (unit,)


SHARED = landing.connect()
