"""Net Promoter Score and customers' health: published figures, laws that hold for any answers, and bad input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from conftest import REPO
from hypothesis import given, settings
from hypothesis import strategies as st
from mart_models import Compiled, compiled

CASES = json.loads((REPO / "tests" / "reference" / "statistics_cases.json").read_text(encoding="utf-8"))
WEIGHTS = [
    {"component": "nps", "weight": 40.0, "latest_signals": 3, "worst": 0.0, "best": 10.0},
    {"component": "csat", "weight": 30.0, "latest_signals": 5, "worst": 1.0, "best": 5.0},
    {"component": "sentiment", "weight": 30.0, "latest_signals": 10, "worst": -1.0, "best": 1.0},
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Compiled:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "mart-models")


def summary(models: Compiled, scores: Sequence[int | None], status: str = "submitted") -> list[dict[str, Any]]:
    answers = [
        {"id": f"n{i}", "customer_id": "c", "score": score, "status": status, "channel": "web",
         "submitted_at": "2026-01-05"}
        for i, score in enumerate(scores)
    ]  # fmt: skip
    days = models.run("nps_daily", nps_events=answers, customers=[{"id": "c", "tenant_id": "a"}])
    return models.run("nps_summary", nps_daily=days)


def test_variance_is_that_of_the_population(models: Compiled) -> None:
    case = CASES["nps_population"]
    (row,) = summary(models, [10, 9, 9, 7, 8, 0])
    assert row["nps"] / 100 == pytest.approx(case["nps"], abs=1e-6)
    assert row["nps_variance"] == pytest.approx(case["var"], abs=1e-6)


def test_interval_is_the_one_with_three_quarters_of_an_answer_more(models: Compiled) -> None:
    """Rocks (2016), as in his R package NPS (`nps_test(test = "adjusted.wald")`): pseudo-observations 3/4, 3/2, 3/4,
    then mean and variance of answers counted as 1, 0, -1, and z sqrt(variance / n) of the larger sample."""
    (row,) = summary(models, [10] * 25 + [7] * 25 + [3] * 10)
    values = np.array([1.0] * 25 + [0.0] * 25 + [-1.0] * 10 + [1.0, 0.0, -1.0])
    weights = np.array([1.0] * 60 + [0.75, 1.5, 0.75])
    mean = float(np.average(values, weights=weights))
    error = float(np.sqrt(np.average((values - mean) ** 2, weights=weights) / weights.sum()))
    assert row["nps_low"] == pytest.approx(100 * (mean - 1.959964 * error), abs=1e-9)
    assert row["nps_high"] == pytest.approx(100 * (mean + 1.959964 * error), abs=1e-9)


@settings(max_examples=40)
@given(st.lists(st.one_of(st.integers(-3, 14), st.none()), min_size=1, max_size=40))
def test_counts_add_up_and_the_interval_holds_the_score(models: Compiled, scores: list[int | None]) -> None:
    (row,) = summary(models, scores)
    assert row["promoters"] + row["passives"] + row["detractors"] == row["n_responses"]
    assert row["n_responses"] + row["n_invalid"] == len(scores)
    if row["n_responses"] == 0:
        assert (row["nps"], row["nps_low"], row["nps_high"], row["nps_variance"]) == (None,) * 4
        assert row["reason"] == "no submitted score from 0 to 10"
    else:
        assert -100 <= row["nps_low"] <= row["nps"] <= row["nps_high"] <= 100
        assert summary(models, scores[::-1]) == [row]


def test_pending_answers_have_no_score(models: Compiled) -> None:
    (row,) = summary(models, [10, 10, 0], status="pending")
    assert (row["nps"], row["n_not_submitted"], row["n_responses"]) == (None, 3, 0)


signals = st.lists(st.integers(-100, 100).map(lambda n: n / 100), max_size=14)


@settings(max_examples=40)
@given(
    nps=st.lists(st.integers(0, 10), max_size=5), csat=st.lists(st.integers(1, 5), max_size=7), sentiment=signals,
    spread=st.integers(1, 40), order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_health_is_the_weighted_mean_of_what_exists(
    models: Compiled, nps: list[int], csat: list[int], sentiment: list[float], spread: int, order: Any
) -> None:
    answers = [
        {
            "id": f"n{i:02}",
            "customer_id": "c",
            "score": score,
            "status": "submitted",
            "submitted_at": f"2026-01-{i + 1:02}",
        }
        for i, score in enumerate(nps)
    ]
    # Over many months, as those with nothing that counts are left out.
    feedback = [
        {"entity_id": f"{component}{i:02}", "customer_id": "c", "tenant_id": "a", "component": component,
         "figure": float(score), "occurred_at": date(2025, 1, 1) + timedelta(days=spread * i)}
        for component, scores in (("csat", csat), ("sentiment", sentiment))
        for i, score in enumerate(scores)
    ]  # fmt: skip
    for rows in (answers, feedback):
        order.shuffle(rows)
    (row,) = models.run(
        "customer_health", stg_customers=[{"id": "c", "tenant_id": "a"}], health_weights=WEIGHTS, nps_events=answers,
        int_feedback_scores=feedback,
    )  # fmt: skip
    points = [
        (40, [10.0 * score for score in nps[-3:]]),
        (30, [25.0 * (score - 1) for score in csat[-5:]]),
        (30, [50.0 * (score + 1) for score in sentiment[-10:]]),
    ]
    there = [(weight, float(np.mean(values))) for weight, values in points if values]
    if not there:
        assert (row["health_score"], row["score_source"], row["computed_low"]) == (None, None, None)
        assert row["reason"] == "no submitted answer, rating or scored feedback"
        return
    expected = sum(weight * mean for weight, mean in there) / sum(weight for weight, _ in there)
    assert row["computed_score"] == pytest.approx(expected, abs=1e-8)
    assert abs(row["health_score"] - expected) <= 0.5 + 1e-8
    assert row["n_signals"] == sum(len(values) for _, values in points)
    if row["computed_low"] is not None:
        assert 0 <= row["computed_low"] <= row["computed_score"] <= row["computed_high"] <= 100
