"""Experiments: the two-proportion z-test, the sample-ratio check and the interval, against published figures."""

from __future__ import annotations

import json
import math
from typing import Any

import duckdb
import pytest
from conftest import REPO
from hypothesis import given, settings
from hypothesis import strategies as st
from mart_models import Compiled, compiled
from scipy import stats

CASES = json.loads((REPO / "tests" / "reference" / "statistics_cases.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Compiled:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "mart-models")


def events(variant: str, n: int, x: int, metric: str = "buy") -> list[dict[str, Any]]:
    """Subjects of a variant, of whom the first x did what is measured."""
    exposed = [
        {"ab_test_id": "t", "variant": variant, "subject_id": f"{variant}{i}", "event_name": "exposed"}
        for i in range(n)
    ]
    return exposed + [row | {"event_name": metric} for row in exposed[:x]]


def result(
    models: Compiled, a: tuple[int, int], b: tuple[int, int], share: float | None = 50, **test: Any
) -> dict[str, Any]:
    """The one row of a completed test with n subjects and x successes a variant."""
    tests = [{"id": "t", "status": "Completed", "variant_a_pct": share, **test}]
    rows = models.run("ab_test_results", ab_tests=tests, ab_events=events("A", *a) + events("B", *b))
    assert len(rows) == 1
    return rows[0]


def test_two_proportions_are_those_of_statsmodels(models: Compiled) -> None:
    case = CASES["ztest_statsmodels"]
    (x_a, x_b), (n_a, n_b) = case["x"], case["n"]
    row = result(models, (n_a, x_a), (n_b, x_b))
    assert row["z"] == pytest.approx(case["z"], abs=1e-12)
    assert row["p_value"] == pytest.approx(case["p"], abs=5e-4)
    assert row["p_value"] == pytest.approx(2 * stats.norm.sf(abs(case["z"])), abs=1e-12)
    assert (row["rate_a"], row["rate_b"]) == (x_a / n_a, x_b / n_b)
    assert row["lift"] == pytest.approx((x_b / n_b) / (x_a / n_a) - 1)
    assert row["winner"] is None


def test_sample_ratio_mismatch_of_the_published_case(models: Compiled) -> None:
    """Kohavi, Tang and Xu (2020), Trustworthy Online Controlled Experiments, chapter 21, scenario 1: 821,588 users
    against 815,482 in a test of even halves; the book's p-value is 1.8E-6."""
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as warehouse")
        connection.execute(
            "create table warehouse.main.ab_tests as "
            "select 't' as id, 'Completed' as status, 50.0 as variant_a_pct, 'A' as winner"
        )
        connection.execute(
            "create table warehouse.main.ab_events as select 't' as ab_test_id, "
            "case when i < 821588 then 'A' else 'B' end as variant, cast(i as varchar) as subject_id, "
            "'exposed' as event_name, cast(null as timestamp) as occurred_at from range(821588 + 815482) as r(i)"
        )
        sql = models.sql["ab_test_results"]
        found = connection.execute(f"select n_a, n_b, srm_p_value, is_ratio_healthy, winner from ({sql})").fetchall()
    ((n_a, n_b, p, healthy, winner),) = found
    assert (n_a, n_b, healthy, winner) == (821_588, 815_482, False, None)
    assert p == pytest.approx(1.8e-6, abs=5e-8)
    assert p == pytest.approx(stats.chisquare([821_588, 815_482]).pvalue, rel=1e-9)


def test_a_winner_needs_a_completed_test_a_small_p_and_a_healthy_ratio(models: Compiled) -> None:
    a, b = (100, 10), (100, 30)
    assert result(models, a, b)["winner"] == "B"
    assert result(models, a, b)["reason"] is None
    assert result(models, a, b, winner="B")["winner_differs"] is False
    assert result(models, a, b, winner="A")["winner_differs"] is True
    assert result(models, a, b)["winner_differs"] is True
    assert result(models, b, a)["winner"] == "A"
    running = result(models, a, b, status="Active")
    assert (running["winner"], running["reason"]) == (None, "the experiment is not completed")
    uneven = result(models, a, b, share=70)
    assert (uneven["winner"], uneven["is_ratio_healthy"]) == (None, False)
    assert "sample ratio" in uneven["reason"]
    unknown = result(models, a, b, share=None)
    assert (unknown["winner"], unknown["srm_p_value"], unknown["is_ratio_healthy"]) == (None, None, None)
    assert "share of variant A" in unknown["reason"]


@pytest.mark.parametrize(("x", "why"), [(0, "no subject did it"), (20, "every subject did it")])
def test_what_cannot_be_computed_is_null_with_a_reason(models: Compiled, x: int, why: str) -> None:
    stranger = [{"ab_test_id": "t", "variant": "A", "subject_id": "never exposed", "event_name": "buy"}]
    tests = [{"id": "t", "status": "Completed", "variant_a_pct": 50}]
    shown = events("A", 20, x) + events("B", 20, x)
    (row,) = models.run("ab_test_results", ab_tests=tests, ab_events=shown + stranger)
    assert (row["x_a"], row["x_b"], row["n_never_exposed"]) == (x, x, 1)
    assert [row[key] for key in ("z", "p_value", "ci_low", "ci_high", "winner")] == [None] * 5
    assert row["reason"] == why


def test_nothing_but_bad_rows_is_no_result(models: Compiled) -> None:
    bad: list[dict[str, Any]] = [
        {"ab_test_id": None, "variant": "A", "subject_id": "s", "event_name": "exposed"},
        {"ab_test_id": "t", "variant": None, "subject_id": "s", "event_name": "exposed"},
        {"ab_test_id": "t", "variant": "A", "subject_id": None, "event_name": "exposed"},
        {"ab_test_id": "t", "variant": "A", "subject_id": "s", "event_name": None},
        {"ab_test_id": "t", "variant": "A", "subject_id": "s", "event_name": "buy"},
    ]
    assert models.run("ab_test_results", ab_tests=[{"id": "t"}], ab_events=bad) == []


@settings(max_examples=40)
@given(
    groups=st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(
        lambda n: st.tuples(
            st.tuples(st.just(n[0]), st.integers(0, n[0])), st.tuples(st.just(n[1]), st.integers(0, n[1]))
        )
    ),
    share=st.integers(1, 99),
    order=st.randoms(use_true_random=False),
)
def test_figures_agree_with_scipy_and_intervals_hold_their_point(
    models: Compiled, groups: tuple[tuple[int, int], tuple[int, int]], share: int, order: Any
) -> None:
    (n_a, x_a), (n_b, x_b) = groups
    rows = events("A", n_a, x_a) + events("B", n_b, x_b)
    rows += rows  # a batch that comes twice counts once
    order.shuffle(rows)
    tests = [{"id": "t", "status": "Completed", "variant_a_pct": share}]
    found = models.run("ab_test_results", ab_tests=tests, ab_events=rows)
    assert len(found) == 1
    row = found[0]
    assert (row["n_a"], row["n_b"]) == (n_a, n_b)
    expected = [(n_a + n_b) * share / 100, (n_a + n_b) * (1 - share / 100)]
    assert row["srm_p_value"] == pytest.approx(stats.chisquare([n_a, n_b], expected).pvalue, abs=1e-12)
    if x_a + x_b == 0:
        assert row["metric"] is None
        return
    assert (row["x_a"], row["x_b"]) == (x_a, x_b)
    if x_a + x_b < n_a + n_b:
        pooled = (x_a + x_b) / (n_a + n_b)
        z = (x_a / n_a - x_b / n_b) / math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
        assert row["z"] == pytest.approx(z, abs=1e-12)
        assert row["p_value"] == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-12)
    if row["ci_low"] is not None:
        assert row["ci_low"] <= x_b / n_b - x_a / n_a <= row["ci_high"]
        assert -1 <= row["ci_low"] < row["ci_high"] <= 1
