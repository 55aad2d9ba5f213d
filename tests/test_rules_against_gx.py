"""The predicates of the rules against Great Expectations' own classes, wherever the two dialects mean the same.

Where they do not is written down here too: GX takes NaN for a missing value, and `unique` counts every copy there and
all but the first here. Patterns stay within what Python's `re` and RE2 read alike.
"""

from __future__ import annotations

import csv
import itertools
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loompin import night
from loompin.contracts import Column
from loompin.rules import predicate
from loompin.settings import PROJECT_ROOT, Settings

# GX takes a few hundredths of a second for each validation, so an example is a whole column, and there are few.
FEW = settings(max_examples=25)

PATTERNS = [
    r"^.+@.+\..+$",
    r"^[A-Z]{2}-[0-9]+$",
    r"a|b",
    r"^$",
    r"(x[0-9]){2}",
    r"[^a-z]",
    r"\.",
    r"\$|\(",
    r"(?i)shop",
    r"^.{3,5}$",
    r"'",
]
# No line breaks: `$` matches before a last one in Python alone.
WORDS = st.one_of(
    st.text(alphabet="abXx019@.-$('% é漢", max_size=12),
    st.sampled_from(
        ["a@b.c", "AB-12", "x1x2", "SHOP", "O'Hara", "x'; drop table t; --", "漢字@例.jp", " ", "", "NaN", "null"]
    ),
)
EDGES = [-1, 0, 1, 100, -100]
INTEGERS = st.one_of(st.integers(-200, 200), st.integers(-(2**62), 2**62), st.sampled_from(EDGES))
DOUBLES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=True, width=64),
    st.floats(-2, 2, allow_subnormal=True),
    st.sampled_from([-1.0, 1.0, 0.0, -0.0, 1.0000000000000002, 0.9999999999999999]),
)
DECIMALS = st.one_of(
    st.decimals(-200, 200, places=6, allow_nan=False, allow_infinity=False),
    st.sampled_from([Decimal("0.000001"), Decimal("-1.000001"), Decimal(1), Decimal(0), Decimal("100.000000")]),
)


@pytest.fixture(scope="module")
def validate() -> Callable[[Sequence[Any], Any], set[int]]:
    """GX's verdict: the positions of the values that an expectation on the column `v` calls unexpected."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    definition = asset.add_batch_definition_whole_dataframe("whole")

    def unexpected(values: Sequence[Any] | pd.DataFrame, expectation: Any) -> set[int]:
        frame = (
            values if isinstance(values, pd.DataFrame) else pd.DataFrame({"v": pd.Series(list(values), dtype=object)})
        )
        batch = definition.get_batch(batch_parameters={"dataframe": frame.assign(position=range(len(frame)))})
        found = batch.validate(
            expectation, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["position"]}
        )
        assert not found.exception_info.get("raised_exception"), found.exception_info
        return {entry["position"] for entry in found.result.get("unexpected_index_list") or []}

    return unexpected


def _column(data_type: str, name: str = "v") -> Column:
    formats = {"varchar": "text", "bigint": "integer", "double": "double"}
    return Column(name=name, data_type=data_type, description="A value.", format=formats.get(data_type, "decimal"))


def flagged(values: Sequence[Any], data_type: str, rule_type: str, params: dict[str, Any]) -> set[int]:
    """Our verdict: the positions of the values for which the predicate is false."""
    good = predicate(rule_type, _column(data_type), params)
    with duckdb.connect() as connection:
        connection.execute(f"create table t (position integer, v {data_type})")
        if values:
            connection.executemany("insert into t values (?, ?)", list(enumerate(values)))
        return {row[0] for row in connection.execute(f"select position from t where not ({good})").fetchall()}


def columns_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A column with missing values in it."""
    return st.lists(st.one_of(values, values, values, st.none()), min_size=1, max_size=60)


@FEW
@given(values=columns_of(WORDS), pattern=st.sampled_from(PATTERNS))
def test_regex(validate: Any, values: list[Any], pattern: str) -> None:
    expected = validate(values, gxe.ExpectColumnValuesToMatchRegex(column="v", regex=pattern))
    assert flagged(values, "varchar", "regex", {"pattern": pattern}) == expected


@pytest.mark.parametrize("pattern", PATTERNS)
def test_regex_on_each_pattern(validate: Any, pattern: str) -> None:
    values = [
        "a@b.c",
        "x a@b.c y",
        "AB-12",
        "AB-12 ",
        "x1x2",
        "x1y2",
        "my Shop",
        "",
        "abc",
        "abcdef",
        "O'Hara",
        "$(",
        None,
    ]
    expected = validate(values, gxe.ExpectColumnValuesToMatchRegex(column="v", regex=pattern))
    assert flagged(values, "varchar", "regex", {"pattern": pattern}) == expected
    assert expected == {i for i, v in enumerate(values) if v is not None and not re.search(pattern, v)}


@FEW
@given(values=columns_of(WORDS))
def test_not_null(validate: Any, values: list[Any]) -> None:
    expected = validate(values, gxe.ExpectColumnValuesToNotBeNull(column="v"))
    assert flagged(values, "varchar", "not_null", {}) == expected == {i for i, v in enumerate(values) if v is None}


@pytest.mark.parametrize(
    ("data_type", "numbers"), [("bigint", INTEGERS), ("double", DOUBLES), ("decimal(38,6)", DECIMALS)]
)
@FEW
@given(data=st.data())
def test_range(validate: Any, data_type: str, numbers: st.SearchStrategy[Any], data: st.DataObject) -> None:
    values = data.draw(columns_of(numbers))
    low = data.draw(st.one_of(st.none(), st.sampled_from([-1, 0, 0.5, -100])))
    high = data.draw(st.sampled_from([1, 0.5, 100]) if low is None else st.sampled_from([None, 1, 0.5, 100]))
    if low is None and high is None:
        high = 1
    as_gx = [value if value is None or data_type != "decimal(38,6)" else float(value) for value in values]
    expected = validate(as_gx, gxe.ExpectColumnValuesToBeBetween(column="v", min_value=low, max_value=high))
    bounds = {key: bound for key, bound in (("min", low), ("max", high)) if bound is not None}
    assert flagged(values, data_type, "range", bounds) == expected


@pytest.mark.parametrize(
    ("data_type", "numbers"), [("bigint", INTEGERS), ("double", DOUBLES), ("decimal(38,6)", DECIMALS)]
)
@FEW
@given(data=st.data())
def test_positive(validate: Any, data_type: str, numbers: st.SearchStrategy[Any], data: st.DataObject) -> None:
    values = data.draw(columns_of(numbers))
    as_gx = [value if value is None or data_type != "decimal(38,6)" else float(value) for value in values]
    expected = validate(as_gx, gxe.ExpectColumnValuesToBeBetween(column="v", min_value=0, strict_min=True))
    assert flagged(values, data_type, "positive", {}) == expected


def test_nan_is_missing_there_and_out_of_every_range_here(validate: Any) -> None:
    values = [float("nan"), 0.5, None, float("inf")]
    assert validate(values, gxe.ExpectColumnValuesToBeBetween(column="v", min_value=-1, max_value=1)) == {3}
    assert flagged(values, "double", "range", {"min": -1, "max": 1}) == {0, 3}
    assert flagged(values, "double", "range", {"min": -1}) == {0}
    assert flagged(values, "double", "positive", {}) == {0}


def test_unique_within_a_tenant(validate: Any, tmp_path: Path) -> None:
    """Through a landing, since `unique` is no predicate: every copy that GX counts, less the first of each value."""
    source = tmp_path / "source"
    source.mkdir()
    seeds = PROJECT_ROOT / "seeds"
    for name in ("tenants", "products"):
        shutil.copy(next(seeds.rglob(f"{name}.csv")), source)
    (source / "validation_rules.csv").write_text(
        'entity_type,field_name,rule_type,params\nproduct,sku,unique,"{""scope"": ""tenant""}"\n', encoding="utf-8"
    )
    skus = ["A-1", "A-1", "a-1", "B-2", "B-2", "B-2", "", "", " A-1x", "C'3", "C'3", "漢"]
    rows = list(itertools.product(["acme_1", "global_tech"], [*skus, "only acme"]))
    rows += [("stark_ind", "A-1")]
    with (source / "product_variants.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "product_id", "sku", "stock_level", "differentiator", "tenant_id"])
        writer.writerows([f"v_{i}", "p_001", sku, 1, "", tenant] for i, (tenant, sku) in enumerate(rows))
    landed = night.land(
        Settings(source=source, home=tmp_path / "home"), night.plan(Settings(home=tmp_path / "home"), date(2026, 2, 10))
    )
    check = next(c for t in landed.tables for c in t.checks if c.rule_id == "product_variants.sku_unique")

    known = [(tenant, sku) for tenant, sku in rows if sku]
    frame = pd.DataFrame(known, columns=["tenant_id", "sku"])
    copies = validate(frame, gxe.ExpectCompoundColumnsToBeUnique(column_list=["tenant_id", "sku"]))
    firsts = sum(1 for count in Counter(known).values() if count > 1)
    assert firsts == 6
    assert check.rows_failed == len(copies) - firsts == 8
