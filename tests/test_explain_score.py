"""`loompin explain driver`, `segment` and `score`, and the views behind them: everything adds up, down to the words."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_voice_laws import RESPONSES, TOPICS, Response, world
from voice_models import Row, Voice, compiled

from loompin import explain_score, reading
from loompin.failures import UnknownId
from loompin.output import write_object
from loompin.settings import Settings

ACME = "550e8400-e29b-41d4-a716-446655440000"
SAME = " is not distinct from "


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Voice:
    base = tmp_path_factory.getbasetemp()
    return Voice(compiled((base if worker_id == "master" else base.parent) / "voice-models"))


@pytest.fixture(scope="module")
def seeds(night_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that holds nothing but the published file of the seeds: there is nothing else to read."""
    made = Settings(home=tmp_path_factory.mktemp("explain-score"))
    made.published.parent.mkdir(parents=True)
    shutil.copy(night_home / "published" / "analytics.duckdb", made.published)
    return made


def ask(home: Settings, sql: str) -> list[dict[str, Any]]:
    with reading.published(home) as connection:
        return reading.rows(connection, sql)


def told(parts: Iterator[explain_score.Part]) -> str:
    """All that is shown, as one text without the breaks of lines."""
    console = Console(file=io.StringIO(), width=400)
    for part in parts:
        console.print(part, soft_wrap=True)
    return " ".join(console.file.getvalue().replace("│", " ").split())  # type: ignore[attr-defined]


@contextlib.contextmanager
def planted(home: Settings, sql: str) -> Iterator[None]:
    """A published file in which something was changed by hand; as before afterwards."""
    before = home.published.read_bytes()
    try:
        with contextlib.closing(duckdb.connect(str(home.published))) as connection:
            connection.execute(sql)
        yield
    finally:
        home.published.write_bytes(before)


def published(voice: Voice, folder: Path) -> Settings:
    """A home whose published file is a small world: its marts, and the views over them."""
    home = Settings(home=folder)
    home.published.parent.mkdir(parents=True)
    run = voice.connection.execute
    run(f"attach '{home.published}' as written")
    for (table,) in run("select table_name from duckdb_tables() where database_name = 'warehouse'"
                        " and schema_name = 'main'").fetchall():  # fmt: skip
        run(f"create table written.main.{table} as from warehouse.main.{table}")
    run("create table written.main.tenants as select 'a' as id, 'able' as slug, 'Able & Co' as name")
    views = run("select sql from duckdb_views() where database_name = 'warehouse' and schema_name = 'main'").fetchall()
    run("detach written")
    with contextlib.closing(duckdb.connect(str(home.published))) as connection:
        for (sql,) in views:
            connection.execute(sql.replace("warehouse.main.", "main."))
    return home


# -- what adds up, on the seeds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figures", "figure", "evidence", "contribution", "keys"),
    [
        ("survey_drivers", "impact_score", "driver_evidence", "contribution", "tenant_id survey_id topic_id"),
        ("(select *, id as topic_id from experience_drivers)", "impact_score", "driver_evidence", "csat_contribution",
         "tenant_id topic_id"),
        ("segment_perception", "net_sentiment", "segment_evidence", "contribution", "segment_id"),
        ("executive_measures", "value", "executive_evidence", "contribution", "tenant_id category measure"),
    ],
)  # fmt: skip
def test_evidence_adds_up_to_every_published_figure(
    seeds: Settings, figures: str, figure: str, evidence: str, contribution: str, keys: str
) -> None:
    """To the last of twelve decimals; a figure that there is not has no evidence that adds up to something."""
    joined = " and ".join(f"f.{key}{SAME}e.{key}" for key in keys.split())
    listed = ", ".join(f"f.{key}" for key in keys.split())
    found = ask(
        seeds,
        f"select {listed}, cast(f.{figure} as decimal(38, 12)) as figure, sum(e.{contribution}) as total,"
        f" count(e.{contribution}) as n from {figures} as f left join {evidence} as e on {joined}"
        f" group by {listed}, f.{figure}",
    )
    assert len(found) >= 5
    assert [row for row in found if row["figure"] != row["total"]] == []
    assert sum(row["n"] for row in found) > 100


def test_contributions_of_measures_add_up_to_the_executive_scores(seeds: Settings) -> None:
    found = ask(
        seeds,
        "select c.category, c.score, round(sum(m.contribution)) as total from executive_config as c"
        f" join executive_measures as m on m.category = c.category and m.tenant_id{SAME}c.tenant_id"
        " group by c.category, c.tenant_id, c.score",
    )
    assert len(found) == 30
    assert [row for row in found if row["score"] != row["total"]] == []


def test_words_stand_in_the_text_where_the_evidence_says(seeds: Settings) -> None:
    found = ask(seeds, "select text, mentions from driver_evidence where n_mentions > 0")
    found += ask(seeds, "select text, topics as mentions from segment_evidence where n_topics > 0")
    places = [(row["text"], place) for row in found for place in json.loads(row["mentions"])]
    marked = [(text, place) for text, place in places if place["match_start"] is not None]
    assert len(marked) > 2000
    for text, place in marked:
        assert text[place["match_start"] : place["match_end"]] == place["words"]
        assert place["words"].casefold() == place["alias"].casefold()
    assert {place["assigned_by"] for _, place in places if "assigned_by" in place} == {"alias", "manual"}


def test_texts_are_masked(seeds: Settings) -> None:
    texts = [row["text"] for row in ask(seeds, "select text from survey_texts")]
    assert sum("[name]" in text for text in texts) > 10
    assert [text for text in texts if "@" in text] == []


# -- the explanations, on the seeds ------------------------------------------------------------------------------------


def test_every_driver_is_explained_without_a_difference(seeds: Settings) -> None:
    topics = [row["topic_id"] for row in ask(seeds, "select distinct topic_id from survey_drivers order by 1")]
    assert len(topics) >= 10
    for topic in topics:
        found = explain_score.driver_plain(seeds, topic)
        assert [told for told in found["drivers"] if not told["adds_up"]] == [], topic
        assert "csat" in {told["measure"] for told in found["drivers"]}


def test_a_driver_is_shown_down_to_the_words(seeds: Settings) -> None:
    text = told(explain_score.driver(seeds, "shipping speed", "sur_001"))
    assert f"Shipping Speed (tax_002) in survey sur_001 of tenant {ACME}: impact -0.1500 on the sentiment" in text
    assert "mean of all 1,000 scored responses +0.3761 - mean of the 664 without the topic +0.5260 = -0.1500" in text
    assert "95 % interval of the impact: -0.1746 to -0.1254." in text
    assert "The trend rests on 14 weeks, p " in text
    assert "the same. The contributions of the 336 add up to it exactly." in text
    assert "10 of 336 responses (all with --all), the most influential first:" in text
    assert (
        "res_1333 of 2025-12-27: sentiment -0.99 (sent by the platform), contribution -0.001516"
        " It took «two weeks to arrive»." in text
    )
    assert "«two weeks to arrive» at 8 to 27, alias 'two weeks to arrive' (version 2025-01-01)" in text
    every = explain_score.driver_plain(seeds, "tax_002", "sur_001", "acme_1", every=True)["drivers"][0]
    assert len(every["responses"]) == every["n_topic"] == 336
    assert sum(row["contribution"] for row in every["responses"]) == round(Decimal(every["impact_score"]), 12)


def test_every_segment_and_score_is_explained_without_a_difference(seeds: Settings) -> None:
    for row in ask(seeds, "select segment_id from segment_perception"):
        assert explain_score.segment_plain(seeds, row["segment_id"])["adds_up"], row
    tenants = [None, *(row["id"] for row in ask(seeds, "select id from tenants"))]
    categories = [row["category"] for row in ask(seeds, "select distinct category from executive_config")]
    assert (len(tenants), len(categories)) == (6, 5)
    for tenant in tenants:
        for category in categories:
            found = explain_score.score_plain(seeds, category, tenant)
            assert found["adds_up"], (category, tenant)
            assert [row["measure"] for row in found["measures"] if not row["adds_up"]] == [], (category, tenant)
            assert "DIFFERENCE" not in told(explain_score.score(seeds, category, tenant))


def test_a_segment_is_shown_down_to_what_members_said(seeds: Settings) -> None:
    text = told(explain_score.segment(seeds, "churn risks"))
    assert "Churn Risks (seg_005): net sentiment -53.51 points, 228 pieces of feedback by 46 members." in text
    assert "100 x (50 positive - 172 negative) / 228 = -53.51 points; 6 neutral." in text
    assert "The contributions add up to the net sentiment exactly." in text
    assert "Shipping Delay: «late delivery» at 8 to 21, alias 'late delivery' (version 2025-01-01)" in text
    assert len(explain_score.segment_plain(seeds, "seg_005", every=True)["feedback"]) == 228


def test_a_score_is_shown_down_to_the_rows_of_its_measures(seeds: Settings) -> None:
    text = told(explain_score.score(seeds, "Service Ops", "acme_1"))
    assert f"Support (Service Ops) of tenant {ACME}: score 57 of 100, trend stable." in text
    assert "Arithmetic: 57.435897 = 57.435897, rounded 57; the score exactly." in text
    assert "survey_csat: 3.861538, 10 of 130 rows (all with --all) behind it" in text
    assert "They add up to 3.861538, the figure exactly." in text
    assert "tickets_within_sla: no figure was sent or can be computed." in text
    platform = explain_score.score_plain(seeds, "support")
    tables = {row["evidence_table"] for measure in platform["measures"] for row in measure["rows"]}
    assert tables == {"kpi_readings", "support_agent_performance"}


def test_json_holds_everything(seeds: Settings) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: explain_score.driver_plain(seeds, "tax_002", every=True),
        lambda: explain_score.segment_plain(seeds, "seg_001"),
        lambda: explain_score.score_plain(seeds, "Revenue"),
    ]
    for call in calls:
        write_object(call(), text := io.StringIO())
        assert json.loads(text.getvalue(), parse_float=Decimal)


# -- what does not add up, and who is not there ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "call", "expected"),
    [
        ("update survey_sentiment set overall_score = 0.9 where response_id = 'res_1333'",
         lambda home: explain_score.driver(home, "tax_002", "sur_001"), "DIFFERENCE: added anew, the impact is -0.148"),
        ("delete from response_topics where response_id = 'res_1333' and topic_id = 'tax_002'",
         lambda home: explain_score.driver(home, "tax_002", "sur_001"), "over 1,000 responses, "),
        ("update segment_feedback set score = 0.9 where segment_id = 'seg_005'",
         lambda home: explain_score.segment(home, "seg_005"),
         "DIFFERENCE: added anew, 228 positive and 0 negative of 228 make +100.00 points"),
        ("update executive_measures set contribution = contribution + 1 where category = 'Support'",
         lambda home: explain_score.score(home, "Support"), "DIFFERENCE: points times weight make"),
        ("update survey_sentiment set csat = 1 where response_id = 'res_1375'",
         lambda home: explain_score.score(home, "Support", "acme_1"), "DIFFERENCE: 130 rows make 3.830769"),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_said(
    seeds: Settings, change: str, call: Callable[[Settings], Iterator[explain_score.Part]], expected: str
) -> None:
    assert "DIFFERENCE" not in told(call(seeds))
    with planted(seeds, change):
        text = told(call(seeds))
        assert "DIFFERENCE" in text
        assert expected in text


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda home: explain_score.driver_plain(home, "Shiping Sped"), r"nearest: Shipping Speed \(tax_002\)"),
        (lambda home: explain_score.driver_plain(home, "tax_02"), r"there is no topic tax_02; the nearest: .*tax_002"),
        (lambda home: explain_score.driver_plain(home, "' or 1=1"), "there is no topic ' or 1=1; see them"),
        (lambda home: explain_score.driver_plain(home, "tax_002", "sur_9"), "surveys that do: sur_001, sur_002"),
        (lambda home: explain_score.driver_plain(home, "tax_002", None, "acme"), r"nearest: .*acme_1"),
        (lambda home: explain_score.segment_plain(home, "Churn"), r"nearest: Churn Risks \(seg_005\)"),
        (lambda home: explain_score.score_plain(home, "Suport"), r"nearest: Service Ops \(Support\)"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_met_with_the_nearest(
    seeds: Settings, call: Callable[[Settings], Any], expected: str
) -> None:
    with pytest.raises(UnknownId, match=expected):
        call(seeds)


# -- laws --------------------------------------------------------------------------------------------------------------


def contributions(voice: Voice) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {
        (row["topic_id"], row["response_id"]): (row["contribution"], row["csat_contribution"], row["reason"])
        for row in voice.ask("select * from driver_evidence where tenant_id = 'a'")
    }


@settings(max_examples=12)
@given(RESPONSES)
def test_contributions_are_exactly_the_impact_whatever_the_responses(voice: Voice, responses: list[Response]) -> None:
    voice.build(**world(responses))
    scored = [score for _, score, _, _ in responses if score is not None]
    drivers = voice.ask("select * from survey_drivers")
    rows = voice.ask("select * from driver_evidence")
    assert len(rows) == sum(len(topics) for *_, topics in responses)
    for driver in drivers:
        mine = [row for row in rows if row["topic_id"] == driver["topic_id"]]
        if driver["impact_score"] is None:
            assert {row["contribution"] for row in mine} == {None}
            assert all(row["reason"] for row in mine)
            continue
        total = sum(row["contribution"] for row in mine if row["contribution"] is not None)
        assert total == round(Decimal(driver["impact_score"]), 12)
        for row in mine:
            if row["overall_score"] is not None:
                expected = (row["overall_score"] - driver["mean_without_topic"]) / len(scored)
                assert float(row["contribution"]) == pytest.approx(expected, abs=3e-12)
    for driver in voice.ask("select * from experience_drivers where impact_score is not null"):
        parts = [row["csat_contribution"] for row in rows if row["topic_id"] == driver["id"]]
        assert sum(part for part in parts if part is not None) == round(Decimal(driver["impact_score"]), 12)


@settings(max_examples=8)
@given(RESPONSES, st.randoms(use_true_random=False))
def test_neither_order_nor_names_of_topics_change_a_contribution(
    voice: Voice, responses: list[Response], random: Any
) -> None:
    voice.build(**world(responses))
    first = contributions(voice)
    names = dict(zip(TOPICS, random.sample(["t1", "t2", "t3", "t4"], 4), strict=True))
    again = world(responses, names=names)
    for one in again.values():
        random.shuffle(one)
    other = world(responses[::2], tenant="b", prefix="x")
    voice.build(**{name: again[name] + other[name] for name in again})
    assert {(names[topic], response): parts for (topic, response), parts in first.items()} == contributions(voice)


FEEDBACK = st.lists(st.sampled_from([-1.0, -0.05, -0.04, 0.0, 0.04, 0.05, 0.7]), min_size=1, max_size=40)


@settings(max_examples=8)
@given(FEEDBACK)
def test_feedback_adds_up_to_the_net_sentiment_whatever_it_is(voice: Voice, scores: list[float]) -> None:
    rows = world([(number, score, None, frozenset()) for number, score in enumerate(scores)])
    answers: list[Row] = [{**answer, "customer_id": "c"} for answer in rows["survey_responses"]]
    voice.build(
        survey_responses=answers, segments=[{"id": "s", "name": "All"}, {"id": "t", "name": "None"}],
        segment_members=[{"segment_id": "s", "customer_id": "c", "valid_from": date(2020, 1, 1)}],
    )  # fmt: skip
    (row,) = voice.ask("select * from segment_perception where segment_id = 's'")
    evidence = voice.ask("select * from segment_evidence")
    assert len(evidence) == row["n_feedback"] == len(scores)
    assert sum(piece["contribution"] for piece in evidence) == round(Decimal(row["net_sentiment"]), 12)
    assert sum(piece["sentiment"] == "positive" for piece in evidence) == row["n_positive"]


# -- bad input ---------------------------------------------------------------------------------------------------------

ARABIC = "التوصيل متأخر جدا ولن أطلب مرة أخرى"
AMHARIC = "መላኪያው በጣም ዘግይቷል። አመሰግናለሁ"
LONG = "good " * 100_000 + "but late delivery " + "good " * 100_000


def test_texts_of_any_script_are_shown_whole_with_their_words(voice: Voice, tmp_path: Path) -> None:
    texts = [ARABIC, AMHARIC, LONG, "\x1b[31mred late delivery\x1b[0m"]
    rows = world([(day, -0.5 + day / 10, 2, frozenset(["delay"])) for day in range(4)] + [(5, 0.5, 4, frozenset())])
    answers = [{**answer, "text": text} for answer, text in zip(rows["survey_responses"], [*texts, ""], strict=True)]
    aliases: list[Row] = [
        {"topic_id": "delay", "alias": alias, "valid_from": since}
        for alias, since in (("متأخر", date(2025, 3, 1)), ("ዘግይቷል", None), ("Late delivery", date(2025, 1, 1)))
    ]
    voice.build(
        **{**rows, "survey_responses": answers}, topic_aliases=aliases,
        taxonomy_topics=[{"id": "delay", "label": "Delay"}],
    )  # fmt: skip
    home = published(voice, tmp_path / "home")
    text = told(explain_score.driver(home, "Delay", "s"))
    assert "DIFFERENCE" not in text
    assert ARABIC.replace("متأخر", "«متأخر»") in text
    assert "«متأخر» at 8 to 13, alias 'متأخر' (version 2025-03-01)" in text
    assert AMHARIC.replace("ዘግይቷል", "«ዘግይቷል»") in text
    assert "alias 'ዘግይቷል' (version always valid)" in text
    # Of a megabyte only what stands around the words is shown; the whole is in the JSON.
    assert "good but «late delivery» good" in text
    assert len(text) < 5000
    plain = explain_score.driver_plain(home, "Delay", "s")["drivers"][0]
    assert LONG.strip() in {row["text"].strip() for row in plain["responses"]}


def test_a_topic_with_one_response_and_one_that_all_touch(voice: Voice, tmp_path: Path) -> None:
    every = frozenset(["every"])
    voice.build(**world([(0, 0.5, 4, every | {"once"}), (1, -0.5, 2, every), (9, None, None, every)]))
    home = published(voice, tmp_path / "home")
    text = told(explain_score.driver(home, "once"))
    assert "impact +0.5000 on the sentiment" in text
    assert "Note: too few responses for an interval" in text
    assert "1 response, the most influential first: r000 of 2026-01-05: sentiment 0.5" in text
    assert "contribution +0.500000" in text
    assert "The contributions of the 1 add up to it exactly." in text
    assert "all surveys of tenant a: impact +1.0000 on the CSAT" in text
    text = told(explain_score.driver(home, "every", "s", "able"))
    assert "impact none on the sentiment" in text
    assert "Note: every scored response touches the topic" in text
    assert "contribution none" in text
    assert "DIFFERENCE" not in text
    reasons = {row["reason"] for row in voice.ask("select reason from driver_evidence where response_id = 'r002'")}
    assert reasons == {"the response has no score; the response has no CSAT; the response has no text"}


def test_a_score_read_from_a_text_names_the_model(voice: Voice, tmp_path: Path) -> None:
    rows = world([(0, None, None, frozenset(["delay"])), (1, 0.5, None, frozenset())])
    answers = [
        {**rows["survey_responses"][0], "text": "I hate the late delivery", "joy": None},
        rows["survey_responses"][1],
    ]
    voice.build(
        survey_responses=answers, survey_topics=rows["survey_topics"],
        topic_aliases=[{"topic_id": "delay", "alias": "late"}],
        topic_overrides=[{"topic_id": "delay", "entity_id": "r000", "score": 1.0}],
    )  # fmt: skip
    text = told(explain_score.driver(published(voice, tmp_path / "home"), "delay", "s"))
    assert "(text read by vader 3.3.2, goemotions 1), contribution -" in text
    assert ", topic assigned by hand" in text
    assert "I hate the «late» delivery" in text
    assert "(version always valid); set aside, as topics were assigned by hand" in text
