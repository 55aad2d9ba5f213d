"""Journeys: what directly follows what, as a flow that conserves its customers, and intervals of published figures."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mart_models import Compiled, compiled


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Compiled:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "mart-models")


def edges(models: Compiled, paths: dict[str, list[str]], steps_count: int | None = 3) -> list[dict[str, Any]]:
    """The edges of one journey from each customer's steps in order; customers whose name begins with b are b's."""
    events = [
        {"journey_id": "j", "customer_id": customer, "step": step, "place": place,
         "occurred_at": f"2026-01-01 00:{place:02}:00"}
        for customer, steps in paths.items() for place, step in enumerate(steps, 1)
    ]  # fmt: skip
    journeys = [] if steps_count is None else [{"id": "j", "steps_count": steps_count, "success_rate": 0.5}]
    goals = models.run("int_journey_goals", stg_journey_events=events, stg_journeys=journeys)
    customers = [{"id": customer, "tenant_id": customer[0]} for customer in paths]
    return models.run(
        "journey_edges", stg_journey_events=events, stg_journeys=journeys, int_journey_goals=goals, customers=customers
    )


# R's `binom.confint(x, n, methods = "wilson")` (package binom), as the tests of statsmodels give its results
# (statsmodels/stats/tests/results/results_proportion.py).
@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    [
        (4, 20, 0.0806576625797981, 0.4160174322518935), (18, 20, 0.6989663547715128, 0.972133518786232),
        (4, 200, 0.00780442641634947, 0.05028708690582643), (190, 200, 0.910421851861224, 0.972617354399236),
        (1, 30, 0.005908590, 0.16670391), (29, 30, 0.8332961, 0.9940914),
        (0, 30, 0.0, 0.11351339),
    ],
)  # fmt: skip
def test_intervals_are_those_of_r(models: Compiled, x: int, n: int, low: float, high: float) -> None:
    complete = {"az": ["one", "two", "goal"]}
    there = {f"a{i}": ["one", "goal"] if i < n - x - 1 else ["one"] for i in range(n - 1)}
    rows = edges(models, there | complete)
    entry = next(row for row in rows if row["from_step"] == "one")
    assert (entry["dropped_off"], entry["entered"]) == (x, n)
    assert entry["drop_off_rate"] == pytest.approx(x / n)
    assert entry["drop_off_low"] == pytest.approx(low, abs=1e-7)
    assert entry["drop_off_high"] == pytest.approx(high, abs=1e-7)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from([f"{tenant}{i}" for tenant in "ab" for i in range(5)]),
        st.lists(st.sampled_from(["visit", "try", "buy", "ask"]), min_size=1, max_size=7),
        min_size=1,
    )
)
def test_as_many_arrive_at_a_step_as_leave_it(models: Compiled, paths: dict[str, list[str]]) -> None:
    rows = edges(models, paths)
    for tenant in {customer[0] for customer in paths}:
        ours = [row for row in rows if row["tenant_id"] == tenant]
        own = {customer: steps for customer, steps in paths.items() if customer[0] == tenant}
        follows = Counter(pair for steps in own.values() for pair in zip([None, *steps], [*steps, None], strict=True))
        assert {(row["from_step"], row["to_step"]): row["transitions"] for row in ours} == follows
        for step in {step for steps in own.values() for step in steps}:
            arrive = sum(row["transitions"] for row in ours if row["to_step"] == step)
            assert arrive == sum(row["transitions"] for row in ours if row["from_step"] == step)
            assert all(
                row["entered"] == sum(step in steps for steps in own.values())
                for row in ours if row["from_step"] == step
            )  # fmt: skip
        for row in ours:
            assert row["customers"] <= row["transitions"]
            if row["goal_step"] is None:
                assert row["reason"] == "nobody took all the steps of the journey, so that its goal is not known"
                assert (row["reached_goal"], row["drop_off_rate"], row["goal_low"]) == (None, None, None)
            else:
                assert row["reached_goal"] + row["dropped_off"] <= row["entered"]
                assert 0 <= row["drop_off_low"] <= row["drop_off_rate"] <= row["drop_off_high"] <= 1
                assert 0 <= row["goal_low"] <= row["goal_rate"] <= row["goal_high"] <= 1


def test_an_unknown_journey_has_no_goal(models: Compiled) -> None:
    rows = edges(models, {"a1": ["visit", "buy"]}, steps_count=None)
    assert {row["reason"] for row in rows} == {"the journey is not in journeys, so that its goal is not known"}
    assert edges(models, {}) == []
