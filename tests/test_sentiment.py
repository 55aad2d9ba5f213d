"""Scores of texts: VADER's own figures, quickly; the emotion model; what is removed from a text before."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import REPO
from hypothesis import example, given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import (  # type: ignore[import-untyped]
    BOOSTER_DICT,
    NEGATE,
    SPECIAL_CASES,
    SentimentIntensityAnalyzer,
)
from voice_models import Row, Voice, compiled

from loompin import sentiment

PLAIN = SentimentIntensityAnalyzer()
WORDS = [
    *sorted(NEGATE), *sorted(BOOSTER_DICT), *" ".join(SPECIAL_CASES).split(), "good", "GREAT", "bad", "Horrible!", "no",
    "never", "so", "this", "without", "doubt", "least", "at", "very", "kind", "of", "but", "BUT", "or", "nor", "the",
    "parcel", ":)", ":D", "😂", "😡👍", "(late)", "!!", "???", "\n", "ጥሩ", "love", "hate",
]  # fmt: skip


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Voice:
    base = tmp_path_factory.getbasetemp()
    return Voice(compiled((base if worker_id == "master" else base.parent) / "voice-models"))


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))
@example("")
@example("I can't say it was not never so good but never this bad, kind of the least love without a doubt")
def test_the_compound_score_is_vaders(text: str) -> None:
    assert (sentiment.compound(text) or 0.0) == PLAIN.polarity_scores(text)["compound"]


def test_a_megabyte_is_scored_like_its_beginning_only_longer() -> None:
    text = "It was not good but I love the late parcel, kind of bad luck! " * 17_000
    assert sentiment.compound(text) == 1.0


def test_two_processes_give_the_same_in_the_same_order() -> None:
    texts = [f"{word} {other} {number}" for number, word in enumerate(WORDS) for other in WORDS[::9]]
    assert len(texts) > 1000
    scorer = sentiment.Scorer()
    try:
        assert scorer(texts) == [sentiment.compound(text) for text in texts]
        assert scorer([]) == []
    finally:
        scorer.close()


def test_the_name_of_the_model_says_what_scores() -> None:
    """Scores are kept under this name: whoever changes the package or the weights gives it another number."""
    assert "'vader 3.3.2, goemotions 1'" in (REPO / "dbt_project" / "macros" / "text.sql").read_text(encoding="utf-8")
    assert version("vaderSentiment") == "3.3.2"
    weights = (REPO / "dbt_project" / "seeds" / "emotion_weights.csv").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == "14a47b2a3bdd47c715f131a0ea98ce9e427dbe0b241a88ad3bc010a94d85af33"
    assert len(weights) < 500_000


def responses(*texts: str | None, **given_: object) -> list[Row]:
    return [
        {"response_id": f"r{number}", "survey_id": "s", "tenant_id": "a", "text": text, **given_}
        for number, text in enumerate(texts)
    ]


def scores(voice: Voice) -> list[dict[str, object]]:
    return voice.ask("select * from survey_sentiment order by length(response_id), response_id")


def test_texts_get_scores_where_the_platform_sent_none(voice: Voice) -> None:
    voice.build(survey_responses=[
        *responses("I love it, thank you so much!", "This makes me so angry, I hate it", "I am scared and terrified"),
        {"response_id": "r9", "text": "I love it", "sentiment_score": -0.25, "joy": 0.0, "anger": 0.5, "fear": 0.25},
    ])  # fmt: skip
    glad, angry, afraid, platform = scores(voice)
    assert glad["overall_score"] == PLAIN.polarity_scores("I love it, thank you so much!")["compound"]
    strengths = [[row[emotion] for emotion in ("joy", "anger", "fear")] for row in (glad, angry, afraid)]
    for place, row in enumerate(strengths):
        assert [value > 0.5 for value in row] == [place == other for other in range(3)]  # type: ignore[operator]
    assert {row["score_source"] for row in (glad, angry, afraid)} == {"text"}
    assert [platform[name] for name in ("overall_score", "joy", "anger", "fear")] == [-0.25, 0.0, 0.5, 0.25]
    assert [platform[name] for name in ("score_source", "emotion_source", "text_model")] == [
        "platform",
        "platform",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "the platform did not send all scores and there is no text"),
        ("", "the platform did not send all scores and there is no text"),
        (" \n ", "the platform did not send all scores and there is no text"),
        ("@joy_rocks https://love.example/happy", "the platform did not send all scores and there is no text"),
        ("የመተግበሪያው ፍጥነት ጥሩ ነው።", "no word of the text is known to the models"),
        ("התוסף הזה נהדר!", "no word of the text is known to the models"),
        ("!!!???", "no word of the text is known to the models"),
    ],
)
def test_what_cannot_be_scored_has_a_reason_and_no_score(voice: Voice, text: str | None, reason: str) -> None:
    voice.build(survey_responses=responses(text))
    (row,) = scores(voice)
    assert [row[name] for name in ("overall_score", "joy", "anger", "fear", "score_source", "text_model")] == [None] * 6
    assert row["reason"] == reason


def test_emojis_are_words_and_known_words_without_feeling_are_neutral(voice: Voice) -> None:
    voice.build(survey_responses=responses("😂😂", "The parcel is on the table."))
    laugh, parcel = scores(voice)
    assert laugh["overall_score"] == PLAIN.polarity_scores("😂😂")["compound"]
    assert laugh["joy"] > 0.5  # type: ignore[operator]
    assert (parcel["overall_score"], parcel["reason"]) == (0.0, None)


def test_names_of_the_tenant_and_of_its_products_do_not_count(voice: Voice) -> None:
    voice.build(
        tenants=[{"id": "a", "name": "Happy Love Corp", "slug": "happy_love"}, {"id": "b", "name": "Joy+ Ltd"}],
        products=[{"id": "p", "tenant_id": "a", "name": "Killer", "brand": "Great (Stuff)"}],
        survey_responses=[
            *responses("happy LOVE Killer, Killer Great (Stuff): the table came.", "I am happy, what a killer"),
            *({**row, "tenant_id": "b", "response_id": "r5"} for row in responses("Joy+ and Killer")),
        ],
    )
    texts = voice.ask("select * from intermediate.int_sentiment_texts order by response_id")
    assert [" ".join(str(row["scored_text"]).split()) for row in texts] == [
        ", : the table came.", "I am happy, what a killer", "and Killer",
    ]  # fmt: skip
    named, meant, other = scores(voice)
    assert named["overall_score"] == 0.0
    assert meant["overall_score"] == PLAIN.polarity_scores("I am happy, what a killer")["compound"]
    assert other["overall_score"] == PLAIN.polarity_scores("Killer")["compound"]


def test_texts_are_redacted_before_they_are_scored(voice: Voice) -> None:
    voice.build(
        customers=[{"id": "c", "tenant_id": "a", "name": "Grace Joy"}],
        survey_responses=responses(
            "Grace Joy joy@love.example called from the table", "Grace Joy joy@love.example called"
        ),
    )
    texts = voice.ask("select scored_text from intermediate.int_sentiment_texts order by scored_text desc")
    assert [" ".join(str(row["scored_text"]).split()) for row in texts] == ["called from the table", "called"]
    assert [row["overall_score"] for row in scores(voice)] == [0.0, 0.0]


def test_equal_texts_are_scored_once(voice: Voice) -> None:
    voice.build(survey_responses=responses(*["late again"] * 5, "fine"))
    assert voice.ask("select count(*) as n from intermediate.int_text_scores") == [{"n": 2}]
    assert len({row["overall_score"] for row in scores(voice)[:5]}) == 1


def test_the_weights_are_not_the_lexicon_that_products_may_not_use() -> None:
    """The NRC lexicon knows only whole words, each with 0 or 1; these weights are log odds of words and pairs."""
    text = Path(REPO / "dbt_project" / "seeds" / "emotion_weights.csv").read_text(encoding="utf-8").splitlines()
    assert text[0] == "term,joy,anger,fear"
    assert sum(" " in line for line in text) > 1000
