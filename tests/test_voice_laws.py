"""Laws that the Voice-of-Customer tables keep whatever the responses are, and what becomes of bad input."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voice_models import Row, Voice, compiled

START = datetime(2026, 1, 5, 12, tzinfo=UTC).replace(tzinfo=None)
TOPICS = ("billing", "delay", "staff", "speed")


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Voice:
    base = tmp_path_factory.getbasetemp()
    return Voice(compiled((base if worker_id == "master" else base.parent) / "voice-models"))


Response = tuple[int, float | None, int | None, frozenset[str]]
"""Days after the start, sentiment, CSAT, topics."""

RESPONSES = st.lists(
    st.tuples(
        st.integers(0, 36), st.none() | st.sampled_from([-1.0, -0.5, -0.31, 0.0, 0.1, 0.7, 1.0]),
        st.none() | st.integers(1, 5), st.frozensets(st.sampled_from(TOPICS)),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


def world(responses: list[Response], tenant: str = "a", survey: str = "s", prefix: str = "r",
          names: dict[str, str] | None = None) -> dict[str, list[Row]]:  # fmt: skip
    answers: list[Row] = []
    touched: list[Row] = []
    for number, (day, sentiment, csat, topics) in enumerate(responses):
        key = f"{prefix}{number:03}"
        answers.append({
            "response_id": key, "survey_id": survey, "tenant_id": tenant, "csat": csat, "sentiment_score": sentiment,
            "submitted_at": START + timedelta(days=day), "joy": 0.5, "anger": 0.5, "fear": 0.5,
        })  # fmt: skip
        touched += [
            {"survey_id": survey, "topic_id": (names or {}).get(topic, topic), "response_id": key}
            for topic in sorted(topics)
        ]
    return {"survey_responses": answers, "survey_topics": touched}


def table(voice: Voice, name: str, **rows: Any) -> list[dict[str, Any]]:
    return voice.build(**rows).ask(f"select * from {name} order by all")


FIGURES = ("impact_score", "n_responses", "n_topic", "impact_low", "impact_high", "trend", "trend_z", "reason")


def drivers(voice: Voice, **rows: Any) -> dict[str, tuple[Any, ...]]:
    return {row["topic_id"]: tuple(row[name] for name in FIGURES) for row in table(voice, "survey_drivers", **rows)}


@settings(max_examples=12)
@given(RESPONSES)
def test_impact_is_the_difference_of_two_means(voice: Voice, responses: list[Response]) -> None:
    found = drivers(voice, **world(responses))
    scored = [(score, topics) for _, score, _, topics in responses if score is not None]
    for topic, (impact, n_responses, n_topic, *_, reason) in found.items():
        without = [score for score, topics in scored if topic not in topics]
        assert (n_responses, n_topic) == (len(scored), len(scored) - len(without))
        if without and n_topic:
            expected = sum(score for score, _ in scored) / len(scored) - sum(without) / len(without)
            assert impact == pytest.approx(expected, abs=1e-9)
        else:
            assert impact is None
            assert reason


@settings(max_examples=12)
@given(RESPONSES, st.randoms(use_true_random=False))
def test_neither_order_nor_names_nor_another_tenant_change_a_driver(
    voice: Voice, responses: list[Response], random: Any
) -> None:
    rows = world(responses)
    first = drivers(voice, **rows)
    shares = {row["topic_id"]: row for row in voice.ask("select * from driver_importance")}
    names = dict(zip(TOPICS, random.sample(["t1", "t2", "t3", "t4"], 4), strict=True))
    again = world(responses, names=names)
    for one in again.values():
        random.shuffle(one)
    other = world(responses[::2], tenant="b", prefix="x")
    again = {name: again[name] + other[name] for name in again}
    voice.build(**again)
    moved = {
        row["topic_id"]: row
        for row in voice.ask(
            "select d.*, i.lmg, i.johnson from survey_drivers d join driver_importance i using (survey_id, topic_id)"
            " where d.tenant_id = 'a' and i.tenant_id = 'a'"
        )
    }
    assert {names[topic]: figures for topic, figures in first.items()} == {
        topic: tuple(row[name] for name in FIGURES) for topic, row in moved.items()
    }
    for topic, row in shares.items():
        for measure in ("lmg", "johnson"):
            assert moved[names[topic]][measure] == pytest.approx(row[measure], abs=1e-9)


@settings(max_examples=12)
@given(RESPONSES, st.randoms(use_true_random=False))
def test_topics_found_in_texts_drive_as_those_that_the_platform_sends(
    voice: Voice, responses: list[Response], random: Any
) -> None:
    responses = [(day, sentiment or 0.0, csat, topics) for day, sentiment, csat, topics in responses]
    sent = world(responses)
    first = drivers(voice, **sent)
    figures = "id, impact_score, n_responses, n_topic, impact_low, impact_high, trend, trend_z, reason"
    experience = voice.ask(f"select {figures} from experience_drivers order by id")
    answers = [
        {
            **answer,
            "text": f"About {'. And '.join(random.sample(sorted(topics), len(topics)))}!" if topics else "Nothing.",
        }
        for answer, (*_, topics) in zip(sent["survey_responses"], responses, strict=True)
    ]
    aliases = [{"topic_id": topic, "alias": topic.upper()} for topic in TOPICS]
    # Who left, and wrote of another survey, has no say here.
    gone = [{"survey_id": "other", "topic_id": "delay", "response_id": "gone"}]
    assert drivers(voice, survey_responses=answers, topic_aliases=aliases, survey_topics=gone) == first
    assert voice.ask(f"select {figures} from experience_drivers order by id") == experience
    assert {row["topic_source"] for row in voice.ask("select topic_source from survey_drivers")} <= {"text"}


@settings(max_examples=12)
@given(RESPONSES)
def test_a_batch_of_the_same_answers_once_more_changes_no_figure(voice: Voice, responses: list[Response]) -> None:
    once, batch = world(responses), world(responses, prefix="x")
    first = drivers(voice, **once)
    second = drivers(voice, **{name: once[name] + batch[name] for name in once})
    assert {topic: row[0] for topic, row in first.items()} == {topic: row[0] for topic, row in second.items()}


@settings(max_examples=12)
@given(RESPONSES)
def test_shares_add_up_and_every_interval_holds_its_point(voice: Voice, responses: list[Response]) -> None:
    voice.build(**world(responses * 3))
    shares = [row for row in voice.ask("select * from driver_importance") if row["lmg"] is not None]
    if shares:
        assert math.fsum(row["lmg"] for row in shares) == pytest.approx(shares[0]["r2"], abs=1e-9)
        assert math.fsum(row["johnson"] for row in shares) == pytest.approx(shares[0]["r2"], abs=1e-9)
        assert -1e-9 < shares[0]["r2"] < 1 + 1e-9
    intervals = [
        ("driver_importance", "lmg", "lmg_low", "lmg_high"),
        ("driver_importance", "johnson", "johnson_low", "johnson_high"),
        ("survey_drivers", "impact_score", "impact_low", "impact_high"),
        ("experience_drivers", "impact_score", "impact_low", "impact_high"),
        ("driver_history", "impact_score", "impact_low", "impact_high"),
    ]
    for name, point, low, high in intervals:
        for row in voice.ask(f"select * from {name} where {low} is not null or {high} is not null"):
            assert row[low] - 1e-9 <= row[point] <= row[high] + 1e-9, (name, row)
    figures = [
        ("driver_importance", "lmg"), ("survey_drivers", "impact_score"), ("experience_drivers", "impact_score"),
        ("survey_response_trends", "avg_sentiment"),
    ]  # fmt: skip
    for name, figure in figures:
        assert voice.ask(f"select 1 from {name} where {figure} is null and reason is null") == []


@settings(max_examples=12)
@given(RESPONSES, st.integers(0, 9))
def test_segments_count_their_members_and_their_intervals_hold_the_figures(
    voice: Voice, responses: list[Response], members: int
) -> None:
    rows = world(responses)
    answers = [
        {**answer, "customer_id": f"c{number % 10}", "text": f"{' '.join(sorted(topics))}."}
        for number, (answer, (*_, topics)) in enumerate(zip(rows["survey_responses"], responses, strict=True))
    ]
    aliases = [{"topic_id": topic, "alias": topic} for topic in TOPICS]
    listed = [{"segment_id": "g", "customer_id": f"c{number}"} for number in range(members)]
    voice.build(survey_responses=answers, topic_aliases=aliases, segments=[{"id": "g"}], segment_members=listed)
    (row,) = voice.ask("select * from segment_perception")
    told = voice.ask("select response_id, overall_score from survey_sentiment where overall_score is not null")
    scores = [one["overall_score"] for one in told if int(one["response_id"][1:]) % 10 < members]
    assert row["n_feedback"] == len(scores)
    if scores:
        net = 100 * (sum(score >= 0.05 for score in scores) - sum(score <= -0.05 for score in scores)) / len(scores)
        assert row["net_sentiment"] == pytest.approx(net, abs=1e-9)
        assert -100 <= row["net_sentiment_low"] <= row["net_sentiment"] <= row["net_sentiment_high"] <= 100
    else:
        assert (row["net_sentiment"], row["reason"]) == (None, "no scored feedback from a member")
    if row["lift"] is not None:
        assert row["lift_low"] < row["lift"] < row["lift_high"]
        assert row["n_lift"] >= 5


def test_the_interval_of_an_impact_is_that_of_the_bootstrap(voice: Voice) -> None:
    generator = np.random.default_rng(11)
    size = 400
    touched = generator.random(size) < 0.3
    scores = np.round(np.clip(generator.normal(0.2 - 0.6 * touched, 0.3), -1, 1), 2)
    rows = world([
        (number % 30, float(score), None, frozenset(["delay"] if hit else []))
        for number, (score, hit) in enumerate(zip(scores, touched, strict=True))
    ])  # fmt: skip
    impact, *_, low, high = drivers(voice, **rows)["delay"][:5]
    drawn = generator.integers(0, size, (4000, size))
    hit, value = touched[drawn], scores[drawn]
    spread = (value.mean(axis=1) - (value * ~hit).sum(axis=1) / (~hit).sum(axis=1)).std()
    assert (high - low) / 2 / 1.959964 == pytest.approx(spread, rel=0.05)
    assert impact == pytest.approx((high + low) / 2, abs=1e-12)


def test_importance_tells_what_impact_cannot_see(voice: Voice) -> None:
    """`staff` always goes with `delay` and does nothing of its own: its impact is large, its shares are small."""
    generator = np.random.default_rng(5)
    responses: list[Response] = []
    for number in range(300):
        delay = generator.random() < 0.4
        staff = delay and generator.random() < 0.6
        noise = float(np.round(generator.normal(0, 0.1), 2))
        topics = frozenset([*(["delay"] if delay else []), *(["staff"] if staff else [])])
        responses.append((number % 30, (-0.5 if delay else 0.4) + noise, None, topics))
    found = {row["topic_id"]: row for row in table(voice, "driver_importance", **world(responses))}
    assert found["delay"]["lmg"] > 2 * found["staff"]["lmg"] > 0
    assert found["delay"]["lmg_low"] > found["staff"]["lmg_high"]
    assert [found["delay"][rank] for rank in ("impact_rank", "lmg_rank", "johnson_rank")] == [1, 1, 1]
    assert {row["orders_disagree"] for row in found.values()} == {False}


# ------------------------------------------------------------------------------------------------------------ bad input


def test_one_response_has_counts_and_reasons(voice: Voice) -> None:
    voice.build(**world([(0, 0.5, 4, frozenset(["delay"]))]))
    (driver,) = voice.ask("select * from survey_drivers")
    assert (driver["impact_score"], driver["n_responses"], driver["trend"]) == (None, 1, "stable")
    assert driver["reason"] == "every scored response touches the topic; fewer than two weeks to compare"
    (share,) = voice.ask("select * from driver_importance")
    figures = ("lmg", "lmg_low", "lmg_high", "johnson", "johnson_low", "r2", "orders_disagree")
    assert [share[name] for name in figures] == [None] * 7
    (day,) = voice.ask("select * from survey_response_trends")
    assert (day["avg_sentiment"], day["sentiment_standard_error"], day["is_anomaly"]) == (0.5, None, None)


def test_equal_scores_are_no_drivers_and_no_anomaly(voice: Voice) -> None:
    responses = [(day, 0.25, 3, frozenset(["delay"] if day % 2 else [])) for day in range(20)]
    voice.build(**world(responses))
    (share,) = voice.ask("select * from driver_importance")
    assert (share["lmg"], share["reason"]) == (None, "all scores are equal")
    (driver,) = voice.ask("select * from survey_drivers")
    assert (driver["impact_score"], driver["impact_low"], driver["impact_high"]) == (0, 0, 0)
    days = voice.ask("select distinct sentiment_modified_z, is_anomaly, reason from survey_response_trends")
    assert days == [{
        "sentiment_modified_z": None, "is_anomaly": None,
        "reason": "one scored response has no standard error; at least half of the days have the same mean",
    }]  # fmt: skip


def test_a_day_with_none_is_no_day_and_its_neighbours_know(voice: Voice) -> None:
    voice.build(**world([(0, 0.5, None, frozenset()), (3, None, None, frozenset()), (9, -0.5, None, frozenset())]))
    days = voice.ask("select date, total_responses, avg_sentiment, avg_sentiment_7d, n_scored_7d, reason"
                     " from survey_response_trends order by date")  # fmt: skip
    assert [(row["date"].day, row["avg_sentiment"], row["avg_sentiment_7d"], row["n_scored_7d"]) for row in days] == [
        (5, 0.5, 0.5, 1), (8, None, 0.5, 1), (14, -0.5, -0.5, 1),
    ]  # fmt: skip
    assert days[1]["reason"] == "no response of the day has a score"


def test_topics_in_a_cycle_and_without_a_row_are_topics(voice: Voice) -> None:
    rows = world([(0, 0.5, 4, frozenset(["delay"])), (1, -0.5, 2, frozenset(["staff"]))])
    circle = [{"id": "delay", "label": "Delay", "parent_id": "speed"}, {"id": "speed", "parent_id": "delay"}]
    found = {row["topic_id"]: row["topic"] for row in table(voice, "survey_drivers", taxonomy_topics=circle, **rows)}
    assert found == {"delay": "Delay", "staff": "staff"}


def test_collinear_topics_share_alike_and_say_so(voice: Voice) -> None:
    generator = np.random.default_rng(2)
    responses: list[Response] = []
    for number in range(80):
        hit = generator.random() < 0.5
        topics = frozenset(["delay", "staff"] if hit else ["speed"] if number % 3 else [])
        responses.append((number % 30, float(np.round(generator.normal(-0.3 * hit, 0.2), 2)), None, topics))
    found = {row["topic_id"]: row for row in table(voice, "driver_importance", **world(responses))}
    assert found["delay"]["lmg"] == pytest.approx(found["staff"]["lmg"], abs=1e-9)
    assert {topic: row["is_collinear"] for topic, row in found.items()} == {
        "delay": True, "staff": True, "speed": False,
    }  # fmt: skip
    assert sum(row["lmg"] for row in found.values()) == pytest.approx(found["delay"]["r2"], abs=1e-9)


def test_a_history_does_not_know_an_alias_that_came_later(voice: Voice) -> None:
    answers = [
        {**row, "text": text}
        for row, text in zip(
            world([(0, None, 5, frozenset()), (1, None, 1, frozenset()), (2, None, 2, frozenset())])[
                "survey_responses"
            ],
            ("fine", "a late parcel", "a slow parcel"),
            strict=True,
        )
    ]
    aliases = [
        {"topic_id": "delay", "alias": "late"},
        {"topic_id": "delay", "alias": "slow", "_known_night": date(2026, 2, 3)},
    ]
    voice.build(survey_responses=answers, topic_aliases=aliases)
    months = voice.ask("select * from driver_history order by month")
    assert [(row["month"].month, row["n_responses"], row["n_topic"]) for row in months] == [(1, 3, 1), (2, 3, 2)]


def test_a_history_does_not_know_what_came_later(voice: Voice) -> None:
    rows = world([(0, None, 5, frozenset()), (1, None, 1, frozenset(["delay"]))])
    late = {
        **world([(2, None, 3, frozenset())], prefix="late")["survey_responses"][0],
        "_known_night": date(2026, 2, 3),
    }
    rows["survey_responses"] = [*rows["survey_responses"], late]
    months = table(voice, "driver_history", **rows)
    assert [(row["month"].month, row["n_responses"], row["is_final"]) for row in months] == [
        (1, 2, True),
        (2, 3, False),
    ]


def test_a_correction_leaves_the_months_that_have_ended_as_they_were(voice: Voice) -> None:
    rows = world([(0, None, 5, frozenset()), (1, None, 1, frozenset(["delay"]))])
    before = table(voice, "driver_history", night=date(2026, 1, 31), **rows)
    first, second = rows["survey_responses"]
    corrected = {**second, "csat": 4, "_known_night": date(2026, 2, 3)}
    withdrawn = {**second, "_known_night": date(2026, 1, 6), "_ended_night": date(2026, 2, 3)}
    rows["survey_responses"] = [first, corrected]
    after = table(voice, "driver_history", history_survey_responses=[withdrawn, corrected], **rows)
    assert [row for row in after if row["month"] == date(2026, 1, 1)] == before
    assert [(row["month"].month, row["impact_score"]) for row in after] == [(1, -2.0), (2, -0.5)]
    assert [row["impact_score"] for row in voice.ask("select * from experience_drivers")] == [-0.5]


def test_an_answer_that_is_worded_anew_or_withdrawn_keeps_the_topics_of_its_former_words(voice: Voice) -> None:
    rows = world([(0, None, 5, frozenset()), (1, None, 1, frozenset()), (2, None, 2, frozenset())])
    rows["topic_aliases"] = [{"topic_id": topic, "alias": topic} for topic in ("delay", "price")]
    first, second, third = (
        {**row, "text": text}
        for row, text in zip(rows["survey_responses"], ("fine", "Such a delay", "what a price"), strict=True)
    )
    rows["survey_responses"] = [first, second, third]
    before = table(voice, "driver_history", night=date(2026, 1, 31), **rows)
    assert {(row["id"], row["n_topic"], row["n_responses"]) for row in before} == {("delay", 1, 3), ("price", 1, 3)}
    ended = {"_known_night": date(2026, 1, 7), "_ended_night": date(2026, 2, 3)}
    worded = {**second, "text": "a fair price", "csat": 4, "_known_night": date(2026, 2, 3)}
    rows["survey_responses"] = [first, worded]
    after = table(voice, "driver_history", history_survey_responses=[{**second, **ended}, {**third, **ended}], **rows)
    assert [row for row in after if row["month"] == date(2026, 1, 1)] == before
    assert [(row["id"], row["n_topic"], row["impact_score"]) for row in after if row["month"].month == 2] == [
        ("delay", 0, None),
        ("price", 1, -0.5),
    ]
    # what is shown of topics in texts is what the answers say now
    for mart in ("topic_assignments", "topic_mentions"):
        assert voice.ask(f"select topic_id, entity_id, entity_type from {mart}") == [
            {"topic_id": "price", "entity_id": worded["response_id"], "entity_type": "survey_response"}
        ]
