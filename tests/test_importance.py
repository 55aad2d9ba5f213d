"""Relative weights and LMG shares: figures that R computed, laws, and what an analyst sees of a file."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from conftest import loompin_process
from hypothesis import given
from hypothesis import strategies as st

from loompin import importance

CASES = json.loads((Path(__file__).parent / "reference" / "statistics_cases.json").read_text(encoding="utf-8"))


@pytest.fixture
def swiss(tmp_path: Path) -> Path:
    data = CASES["swiss"]
    path = tmp_path / "swiss.csv"
    lines = [data["columns"], *data["rows"]]
    path.write_text("\n".join(",".join(map(str, line)) for line in lines) + "\n", encoding="utf-8")
    return path


def run(home: Path, *arguments: str) -> Any:
    return loompin_process(home, "importance", *arguments)


def test_the_swiss_data_give_the_figures_of_r(swiss: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "home", str(swiss), "--target", "Fertility", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["r2"] == pytest.approx(CASES["lmg_swiss"]["r2"], abs=1e-9)
    assert [row["column"] for row in told["importance"]] == CASES["lmg_swiss"]["order"]
    assert [row["lmg"] for row in told["importance"]] == pytest.approx(CASES["lmg_swiss"]["lmg"], abs=1e-9)
    assert [row["johnson"] for row in told["importance"]] == pytest.approx(CASES["johnson_swiss"]["w"], abs=1e-9)
    assert (told["rows"], told["rows_left_out"]) == (47, 0)
    assert not (tmp_path / "home").exists()


def test_parquet_and_a_table_for_people(swiss: Path, tmp_path: Path) -> None:
    parquet = tmp_path / "swiss it's [1].parquet"
    quoted = str(parquet).replace("'", "''")
    duckdb.execute(f"copy (select *, 'x' as name from read_csv('{swiss}')) to '{quoted}' (format parquet)")
    done = run(tmp_path / "home", str(parquet), "--target", "Fertility", "--without", "name")
    assert done.returncode == 0, done.stderr
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert lines[3:8] == ["Education", "Examination", "Infant.Mortality", "Catholic", "Agriculture"]
    assert "R2 0.706735 over 47 rows" in done.stdout
    assert "different orders" not in done.stdout


def test_two_columns_by_hand() -> None:
    case = CASES["lmg_two_predictors"]
    found = importance.shares(np.array([[1, case["r12"]], [case["r12"], 1]]), np.array(case["ry"]))
    assert found.r2 == pytest.approx(case["r2"], abs=1e-9)
    assert list(found.lmg) == pytest.approx(case["w"], abs=1e-9)


@pytest.mark.parametrize(
    ("rows", "arguments", "told"),
    [
        ("a,b,y\n1,2,3\n2,1,5\n3,3,1\n4,0,2\n", ["--target", "z"], "has no column z; it has a, b, y"),
        ("a,b,y\n1,2,3\n2,1,5\n3,3,1\n4,0,2\n", ["--target", "y", "--without", "c"], "has no column c"),
        ("a,b,y\n1,2,3\n1,1,5\n1,3,1\n1,0,2\n", ["--target", "y"], "constant, so that they explain nothing: a;"),
        ("a,b,y\n.1,2,3\n0.1,1,5\n0.1,3,1\n0.1,0,2\n", ["--target", "y"], "constant, so that they explain nothing: a;"),
        ("a,b,y\n1,2,3\n2,1,3\n3,3,3\n4,0,3\n", ["--target", "y"], "y has one value in all rows"),
        ("a,b,c,y\n1,2,3,1\n2,1,3,5\n3,3,6,2\n4,0,4,4\n5,1,6,9\n", ["--target", "y"], "cannot be told apart: a, b, c;"),
        ("a,b,y\n1,x,3\n2,z,5\n3,z,1\n", ["--target", "y"], "no numbers: b (varchar);"),
        ("a,b,y\n1,2,3\n2,1,5\n", ["--target", "y"], "2 rows with a number in each column, too few for 2 columns"),
        ("a,b,y\n1,,3\n2,,5\n3,,6\n", ["--target", "y"], "no numbers: b"),
        ("y\n1\n2\n", ["--target", "y"], "no column beside y"),
        ("", ["--target", "y"], "has no column y"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_said(tmp_path: Path, rows: str, arguments: list[str], told: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(rows, encoding="utf-8")
    with pytest.raises(importance.CannotExplain, match=r".") as error:
        importance.of_file(path, arguments[1], arguments[3:4])
    assert told in str(error.value)


def test_a_wrong_call_ends_with_2_in_one_line(tmp_path: Path) -> None:
    missing = run(tmp_path / "home", str(tmp_path / "none.csv"), "--target", "y")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.count("\n") == 1
    assert "there is no file" in missing.stderr
    (tmp_path / "a.txt").write_text("a,y\n1,2\n")
    assert run(tmp_path / "home", str(tmp_path / "a.txt"), "--target", "y").returncode == 2
    assert run(tmp_path / "home", str(tmp_path / "a.txt")).returncode == 2


def test_rows_with_an_empty_cell_are_left_out_and_counted(swiss: Path) -> None:
    whole = importance.of_file(swiss, "Fertility")
    with swiss.open("a", encoding="utf-8") as file:
        file.write("1,2,,4,5,6\nnan,1,1,1,1,1\n")
    found = importance.of_file(swiss, "Fertility")
    assert (found.rows, found.rows_left_out) == (47, 2)
    assert list(found.shares.lmg) == list(whole.shares.lmg)


# ---------------------------------------------------------------------------------------------------------------- laws


@st.composite
def tables(draw: st.DrawFn, columns: int = 5) -> np.ndarray[Any, Any]:
    count = draw(st.integers(1, columns))
    rows = draw(st.integers(count + 3, 40))
    return np.random.default_rng(draw(st.integers(0, 2**32))).normal(size=(rows, count + 1))


def shares_of(table: np.ndarray[Any, Any], **options: Any) -> importance.Shares:
    found = np.corrcoef(table, rowvar=False)
    return importance.shares(found[:-1, :-1], found[:-1, -1], **options)


@given(tables())
def test_both_add_up_to_r_squared_and_no_share_is_negative(table: np.ndarray[Any, Any]) -> None:
    found = shares_of(table)
    design = np.column_stack([np.ones(len(table)), table[:, :-1]])
    left = table[:, -1] - design @ np.linalg.lstsq(design, table[:, -1], rcond=None)[0]
    r2 = 1 - left.var() / table[:, -1].var()
    assert found.r2 == pytest.approx(r2, abs=1e-9)
    assert found.lmg.sum() == pytest.approx(r2, abs=1e-9)
    assert found.johnson.sum() == pytest.approx(r2, abs=1e-9)
    assert min(found.lmg.min(), found.johnson.min()) > -1e-12


@given(tables(4))
def test_lmg_is_the_mean_over_all_orders(table: np.ndarray[Any, Any]) -> None:
    count = table.shape[1] - 1
    added = np.zeros(count)

    def explained(columns: tuple[int, ...]) -> float:
        design = np.column_stack([np.ones(len(table)), table[:, list(columns)]])
        left = table[:, -1] - design @ np.linalg.lstsq(design, table[:, -1], rcond=None)[0]
        return float(1 - left.var() / table[:, -1].var())

    for order in itertools.permutations(range(count)):
        for place, column in enumerate(order):
            added[column] += explained(order[: place + 1]) - explained(order[:place])
    assert list(shares_of(table).lmg) == pytest.approx(list(added / math.factorial(count)), abs=1e-9)


@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_and_their_scale_change_nothing(table: np.ndarray[Any, Any], random: Any) -> None:
    count = table.shape[1] - 1
    rows, columns = list(range(len(table))), list(range(count))
    random.shuffle(rows)
    random.shuffle(columns)
    found, moved = shares_of(table), shares_of(3 * table[np.ix_(rows, [*columns, count])] + 7)
    assert list(moved.lmg) == pytest.approx(list(found.lmg[columns]), abs=1e-9)
    assert list(moved.johnson) == pytest.approx(list(found.johnson[columns]), abs=1e-9)


def test_sampled_orders_come_near_all_orders_and_add_up() -> None:
    generator = np.random.default_rng(7)
    table = generator.normal(size=(300, 11)) + generator.normal(size=(300, 1))
    exact, sampled = shares_of(table), shares_of(table, exact_up_to=4)
    assert exact.exact
    assert not sampled.exact
    assert sampled.r2 == pytest.approx(exact.r2, abs=1e-9)
    assert list(sampled.lmg) == pytest.approx(list(exact.lmg), abs=0.01)
    assert list(sampled.lmg) != pytest.approx(list(exact.lmg), abs=1e-9)
    moved = shares_of(table[:, [*range(9, -1, -1), 10]], exact_up_to=4)
    assert list(moved.lmg[::-1]) == pytest.approx(list(sampled.lmg), abs=1e-12)


def test_columns_that_say_the_same_share_alike() -> None:
    table = np.random.default_rng(3).normal(size=(50, 3))
    doubled = np.column_stack([table[:, 0], table[:, 1], table[:, 0], table[:, 2]])
    found, single = shares_of(doubled), shares_of(table)
    assert found.r2 == pytest.approx(single.r2, abs=1e-9)
    assert found.lmg[0] == pytest.approx(found.lmg[2], abs=1e-12)
    assert found.johnson.sum() == pytest.approx(single.r2, abs=1e-9)
