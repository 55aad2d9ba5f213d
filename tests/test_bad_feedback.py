"""Bad feedback, each case from the files to what a user sees: `loompin check`, the quarantine, the derived tables.

The files are landed and validated as a night does it, then the models are built from what was accepted. Bad files of
any table are in test_bad_input.py; laws and cases of single models in test_voice_laws.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import duckdb
import pytest
from conftest import loompin_process
from small_home import ACME, Home, check_of
from voice_models import Row, Voice, compiled

from loompin.night import Landed

LONG = "The delivery was great. " * 44_000
TOPICS = [
    {"id": "speed", "label": "Speed", "parent_id": "delay"}, {"id": "delay", "label": "Delay", "parent_id": "speed"},
    {"id": "own", "label": "Own parent", "parent_id": "own"}, {"id": "leaf", "label": "Leaf", "parent_id": "delay"},
    {"id": "parcel", "label": "Parcel", "parent_id": ""}, {"id": "lost", "label": "Lost", "parent_id": "nowhere"},
]  # fmt: skip
ALIASES = [
    ("parcel", "delivery"), ("speed", "deliver"), ("delay", "late delivery"), ("delay", "late"), ("leaf", ""),
    ("leaf", "  "), ("leaf", "!!!"), ("delay", "איחר"), ("delay", "متأخر"), ("speed", "ፍጥነት"),
]  # fmt: skip


def response(key: str, survey: str = "s", day: str = "2026-01-05", **cells: str) -> dict[str, str]:
    row = dict.fromkeys(
        ("response_id", "survey_id", "tenant_id", "customer_id", "submitted_at", "received_at", "csat", "nps_score",
         "text", "sentiment_score", "joy", "anger", "fear"), "",
    )  # fmt: skip
    return row | {"response_id": key, "survey_id": survey, "tenant_id": "acme_1", "submitted_at": day} | cells


RESPONSES = [
    response("empty"), response("emoji", text="👍🎉"), response("emoji_unknown", text="🫠"),
    response("hebrew", text="המשלוח איחר מאוד"), response("arabic", text="الشحن متأخر جدا"),
    response("amharic", text="የመተግበሪያው ፍጥነት ጥሩ ነው።"), response("long", text=LONG),
    response("substring", text="a late delivery, undeliverable"),
    response("nps_11", nps_score="11"), response("csat_0", csat="0"), response("unknown", survey="nowhere"),
    response("trial", survey="draft", text="great"), response("early", day="2025-12-31", text="great"),
    response("epoch", survey="one", day="1970-01-01T00:00:00Z", text="great"),
    response("twice", csat="1"), response("twice", csat="5"),
    response("versions", csat="1", received_at="2026-01-06"), response("versions", csat="5", received_at="2026-01-07"),
    response("single", survey="one", csat="4", sentiment_score="0.5", text="late"),
    *(response(f"equal{day}", survey="equal", day=f"2026-01-{day:02}", csat="3", sentiment_score="0.25",
               text="late" if day % 2 else "fine") for day in range(1, 21) if day != 10),
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("bad-feedback"))
    home.write("surveys.csv", [
        {"id": "s", "tenant_id": "acme_1", "title": "Some", "status": "active", "started_on": "2026-01-01"},
        {"id": "draft", "tenant_id": "acme_1", "title": "Next", "status": "Draft", "started_on": ""},
        {"id": "one", "tenant_id": "acme_1", "title": "One answer", "status": "active", "started_on": ""},
        {"id": "equal", "tenant_id": "acme_1", "title": "Equal", "status": "", "started_on": ""},
    ])  # fmt: skip
    home.write("survey_responses.csv", RESPONSES)
    home.write("taxonomy_topics.csv", [topic | {"weight": "1"} for topic in TOPICS])
    home.write("topic_aliases.csv", [
        {"topic_id": topic, "alias": alias, "valid_from": "", "valid_to": ""} for topic, alias in ALIASES
    ])  # fmt: skip
    home.write("nps_events.csv", [
        {"id": "n1", "customer_id": "", "score": "11", "status": "submitted", "channel": "web"},
        {"id": "n2", "customer_id": "", "score": "9", "status": "submitted", "channel": "web"},
    ])  # fmt: skip
    return home


@pytest.fixture(scope="module")
def landed(home: Home) -> Landed:
    return home.night("2026-02-10")


@pytest.fixture(scope="module")
def voice(home: Home, landed: Landed, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Voice]:
    """The models, built from what the night accepted."""
    assert landed.blocking == []
    base = tmp_path_factory.getbasetemp()
    voice = Voice(compiled((base if worker_id == "master" else base.parent) / "voice-models"))
    accepted: dict[str, list[Row]] = {}
    with closing(duckdb.connect(str(home.settings.warehouse), read_only=True)) as connection:
        for table in ("tenants", "surveys", "survey_responses", "taxonomy_topics", "topic_aliases"):
            found = connection.execute(f"select * exclude (_source_file, _source_line) from source.{table}")
            names = [column[0] for column in found.description or []]
            accepted[table] = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    yield voice.build(**accepted)
    voice.connection.close()


def one(voice: Voice, sql: str) -> dict[str, Any]:
    (row,) = voice.ask(sql)
    return row


# --------------------------------------------------------------------------------------------- what becomes of the rows


def test_what_cannot_be_read_is_quarantined_with_line_value_and_reason(home: Home, landed: Landed) -> None:
    found = home.landing(
        "select table_name, rule, source_line, value, reason from landing.quarantine order by table_name, source_line"
    )
    no_time = "1970-01-01 and before are what systems write for no time; give the real one, or leave it empty"
    line = {row["response_id"]: number for number, row in enumerate(RESPONSES, start=2)}
    recommend = "likelihood to recommend is a whole number from 0 to 10"
    twice = "another row has this key (response_id) and other content"
    assert found == [
        ("nps_events", "score_out_of_range", 2, "11", recommend),
        ("survey_responses", "nps_score_out_of_range", line["nps_11"], "11", recommend),
        ("survey_responses", "csat_out_of_range", line["csat_0"], "0", "satisfaction is a whole number from 1 to 5"),
        ("survey_responses", "unknown_survey", line["unknown"], "nowhere", "refers to no row of surveys.id"),
        ("survey_responses", "implausible_time", line["epoch"], "1970-01-01 00:00:00", no_time),
        ("survey_responses", "duplicate_key", line["twice"], "twice", twice),
        ("topic_aliases", "alias_not_null", 6, None, "a value is required"),
    ]
    assert all(check.status != "broken" for table in landed.tables for check in table.checks)


@pytest.mark.parametrize(
    ("rule", "rows", "told"),
    [
        ("survey_responses.draft_survey", 1, "the survey is a draft"),
        ("survey_responses.before_survey_began", 1, "the survey had not begun (surveys.started_on)"),
        ("taxonomy_topics.topic_cycle", 3, "the topics above it lead back to it"),
        ("taxonomy_topics.parent_id_reference", 1, "refers to no row of taxonomy_topics.id"),
        ("topic_aliases.alias_without_word", 2, "without a letter or a digit it matches nothing"),
    ],
)
def test_what_is_odd_stays_counted_and_is_warned_of(landed: Landed, rule: str, rows: int, told: str) -> None:
    check = check_of(landed, rule)
    assert (check.severity, check.status, check.rows_failed) == ("warn", "fail", rows)
    assert told in check.message
    assert len(check.sample_keys) == rows


def test_a_user_sees_all_of_it_before_a_night_does(home: Home) -> None:
    done = loompin_process(home.settings.home.parent / "other", "check", source=home.settings.source)
    assert done.returncode == 0, done.stderr
    for rule in ("nps_events.score_out_of_range", "survey_responses.csat_out_of_range", "survey_responses.draft_survey",
                 "survey_responses.unknown_survey", "survey_responses.before_survey_began",
                 "survey_responses.duplicate_key", "taxonomy_topics.topic_cycle",
                 "topic_aliases.alias_without_word"):  # fmt: skip
        assert rule in done.stdout


def test_a_draft_and_an_early_answer_count(voice: Voice) -> None:
    found = voice.ask(
        "select survey_id, cast(date as varchar) as date, total_responses, avg_sentiment is not null as has_mean"
        " from survey_response_trends where survey_id = 'draft' or date < '2026-01-01' order by survey_id"
    )
    assert found == [
        {"survey_id": "draft", "date": "2026-01-05", "total_responses": 1, "has_mean": True},
        {"survey_id": "s", "date": "2025-12-31", "total_responses": 1, "has_mean": True},
    ]


def test_of_one_response_with_two_scores_one_counts(voice: Voice) -> None:
    found = voice.ask(
        "select response_id, csat from staging.stg_survey_responses where response_id in ('twice', 'versions')"
        " order by response_id"
    )
    # Twice at the same moment, nobody knows which is right and the first stays; of two versions, the later one counts.
    assert found == [{"response_id": "twice", "csat": 1}, {"response_id": "versions", "csat": 5}]


# -------------------------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("empty", "the platform did not send all scores and there is no text"),
        ("emoji_unknown", "no word of the text is known to the models"),
        ("hebrew", "no word of the text is known to the models"),
        ("arabic", "no word of the text is known to the models"),
        ("amharic", "no word of the text is known to the models"),
    ],
)
def test_a_text_that_tells_nothing_has_no_score_and_a_reason(voice: Voice, key: str, reason: str) -> None:
    row = one(
        voice, f"select overall_score, joy, anger, fear, reason from survey_sentiment where response_id = '{key}'"
    )
    assert row == {"overall_score": None, "joy": None, "anger": None, "fear": None, "reason": reason}


def test_emoji_and_a_text_of_a_megabyte_are_read(voice: Voice) -> None:
    assert len(LONG) > 2**20
    emoji = one(voice, "select overall_score, reason from survey_sentiment where response_id = 'emoji'")
    assert emoji["overall_score"] > 0
    long = one(voice, "select overall_score, joy, reason from survey_sentiment where response_id = 'long'")
    assert long["overall_score"] > 0.99
    assert long["joy"] > 0.5
    assert one(voice, "select n_matches, match_end from topic_assignments where entity_id = 'long'") == {
        "n_matches": 44_000, "match_end": 12,
    }  # fmt: skip
    last = one(voice, "select max(match_end) as place from topic_mentions where entity_id = 'long'")
    assert last["place"] == len(LONG) - len(" was great. ")


@pytest.mark.parametrize(
    ("key", "found"),
    [
        # The longest match stands alone, without `late` and `delivery`; `deliver` is no word of the text.
        ("substring", [("delay", "late delivery", 2, 15)]),
        ("hebrew", [("delay", "איחר", 7, 11)]),
        ("arabic", [("delay", "متأخر", 6, 11)]),
        ("amharic", [("speed", "ፍጥነት", 9, 13)]),
        ("emoji", []),
        ("empty", []),
    ],
)
def test_topics_are_found_in_any_script(voice: Voice, key: str, found: list[tuple[Any, ...]]) -> None:
    rows = voice.ask(f"select topic_id, alias, match_start, match_end from topic_mentions where entity_id = '{key}'")
    assert [tuple(row.values()) for row in rows] == found


def test_an_alias_without_words_matches_nothing_and_a_cycle_is_no_trap(voice: Voice) -> None:
    assert voice.ask("select 1 from topic_assignments where topic_id = 'leaf'") == []
    # The topic above names the area, also where the two are above each other.
    row = one(voice, "select category from survey_drivers where survey_id = 's' and topic_id = 'delay'")
    assert row == {"category": "Speed"}


# ------------------------------------------------------------------------------------------------- too little to tell


def test_a_survey_with_one_answer_has_a_count_and_reasons(voice: Voice) -> None:
    driver = one(voice, "select * from survey_drivers where survey_id = 'one'")
    assert (driver["n_responses"], driver["n_topic"], driver["mean_sentiment"]) == (1, 1, 0.5)
    assert (driver["impact_score"], driver["impact_low"], driver["trend"], driver["trend_p"]) == (None,) * 2 + (
        "stable", None,
    )  # fmt: skip
    assert driver["reason"] == "every scored response touches the topic; fewer than two weeks to compare"
    share = one(voice, "select lmg, johnson, r2, reason from driver_importance where survey_id = 'one'")
    assert (share["lmg"], share["johnson"], share["r2"]) == (None, None, None)
    assert "every scored response touches the topic" in share["reason"]
    day = one(voice, "select * from survey_response_trends where survey_id = 'one'")
    assert (day["avg_sentiment"], day["sentiment_standard_error"], day["is_anomaly"]) == (0.5, None, None)


def test_equal_scores_move_nothing_and_nothing_is_an_anomaly(voice: Voice) -> None:
    driver = one(voice, "select * from survey_drivers where survey_id = 'equal'")
    assert (driver["impact_score"], driver["impact_low"], driver["impact_high"]) == (0, 0, 0)
    share = one(voice, "select lmg, johnson, reason from driver_importance where survey_id = 'equal'")
    assert share == {"lmg": None, "johnson": None, "reason": "all scores are equal"}
    found = voice.ask("select distinct sentiment_modified_z, is_anomaly from survey_response_trends"
                      " where survey_id = 'equal'")  # fmt: skip
    assert found == [{"sentiment_modified_z": None, "is_anomaly": None}]


def test_a_day_without_answers_has_no_row_and_the_seven_days_go_on(voice: Voice) -> None:
    days = {
        row["day"]: row["n_scored_7d"]
        for row in voice.ask(
            "select day(date) as day, n_scored_7d from survey_response_trends where survey_id = 'equal'"
        )
    }
    assert sorted(days) == [day for day in range(1, 21) if day != 10]
    assert (days[9], days[11], days[16], days[17]) == (7, 6, 6, 7)


def test_no_figure_is_missing_without_a_reason(voice: Voice) -> None:
    figures = [
        ("survey_sentiment", "overall_score"), ("survey_sentiment", "joy"), ("survey_drivers", "impact_score"),
        ("survey_drivers", "impact_low"), ("survey_drivers", "trend_p"), ("experience_drivers", "impact_score"),
        ("experience_drivers", "impact_low"), ("driver_history", "impact_score"), ("driver_importance", "lmg"),
        ("driver_importance", "lmg_low"), ("survey_response_trends", "avg_sentiment"),
        ("survey_response_trends", "sentiment_standard_error"), ("survey_response_trends", "is_anomaly"),
    ]  # fmt: skip
    for table, figure in figures:
        assert voice.ask(f"select * from {table} where {figure} is null and reason is null") == [], (table, figure)
    assert ACME in {row["tenant_id"] for row in voice.ask("select tenant_id from survey_drivers")}
