"""Months of feedback: what did not change is kept, and whatever changed, the tables are those of a home that keeps
nothing.

One home goes through nights, each of which changes some things. After each, the warehouse is compared with one made
from the record alone. Marks planted in what a model made of a month tell whether it was made anew.
"""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import SecretStr
from small_home import Home

from dagster_project.dbt_process import DbtProcess
from loompin import night as nights
from loompin.night import NightPlan
from loompin.settings import Settings

NOVEMBER, DECEMBER, JANUARY = "2025-11", "2025-12", "2026-01"
SELECTED = ("customer_events", "segment_perception", "segment_feedback", "response_topics", "survey_sentiment",
            "customer_health", "topic_mentions", "survey_texts", "int_executive_readings")  # fmt: skip
# Of these texts that are gone are kept, too.
KEPT_TEXTS = {"int_text_scores", "int_distinct_text_words"}
# A column of each table by month that a mark is planted in: no fingerprint and no other of these is made of it.
MARKED = {
    "intermediate.int_texts": ("tenant_id", "text_day"),
    "intermediate.int_response_scores": ("score_source", "submitted_on"),
    "intermediate.int_feedback_scores": ("tenant_id", "occurred_at"),
    "intermediate.int_member_sentiment": ("entity_id", "day"),
    "main.customer_events": ("event_type", "occurred_at"),
    "main.survey_sentiment": ("customer_id", "date"),
    "main.response_topics": ("survey_id", "date"),
    "main.segment_feedback": ("entity_id", "date"),
}
RESPONSES = {"november": ("r1", "r2"), "december": ("r3", "r4"), "january": ("r5", "r6")}
DAYS = {"november": "2025-11-10", "december": "2025-12-10", "january": "2026-01-10"}


def response(identity: str, day: str, text: str = "", **others: str) -> dict[str, str]:
    scored = {"sentiment_score": "", "joy": "", "anger": "", "fear": ""} if text else {
        "sentiment_score": "0.5", "joy": "0.4", "anger": "0.1", "fear": "0.2"
    }  # fmt: skip
    row = {"response_id": identity, "survey_id": "s1", "tenant_id": "acme_1", "customer_id": "c1", "csat": "4",
           "submitted_at": f"{day}T10:00:00Z" if day else "", "received_at": "", "nps_score": "", "text": text,
           **scored}  # fmt: skip
    return {**row, **others}


def signal(identity: str, day: str, summary: str = "", **others: str) -> dict[str, str]:
    row = {"id": identity, "tenant_id": "acme_1", "event_type": "ticket", "sentiment_score": "-0.4",
           "summary": summary, "customer_id": "c1", "occurred_at": f"{day}T09:00:00Z" if day else "",
           "received_at": "", "product_id": ""}  # fmt: skip
    return {**row, **others}


class Feedback:
    """A home with feedback of three months and some without a day, whose nights are landed and derived."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder)
        write = self.home.write
        write("customers.csv", [
            {"id": "c1", "tenant_id": "acme_1", "email": "ada@mail.example", "name": "Ada Stone", "health_score": ""},
            {"id": "c2", "tenant_id": "acme_1", "email": "bo@mail.example", "name": "Bo Reed", "health_score": ""},
        ])  # fmt: skip
        write("surveys.csv", [{"id": s, "tenant_id": "acme_1", "title": s, "status": "active"} for s in ("s1", "s2")])
        write("taxonomy_topics.csv", [{"id": t, "label": t, "parent_id": "", "weight": "1"} for t in ("slow", "nice")])
        self.aliases("slow delivery")
        write("segments.csv", [{"id": "g", "name": "G", "size": "2", "primary_trait": "none"}])
        self.members("c1")
        for month, (platform, text) in RESPONSES.items():
            day = DAYS[month]
            write(f"survey_responses/{month}.csv", [
                response(platform, day),
                response(text, day, "Ada Stone and Cy Lake hate the slow delivery", survey_id="s2", customer_id="c2"),
            ])  # fmt: skip
            write(f"survey_topics/{month}.csv", [
                {"survey_id": "s1", "topic_id": "slow", "response_id": platform, "category": "Ops"}
            ])  # fmt: skip
            write(f"customer_events/{month}.csv", [
                signal(f"e-{month}", day, "Cy Lake met a slow delivery"), signal(f"f-{month}", day, customer_id="c2")
            ])  # fmt: skip
        write("customer_events/masked.csv", [signal("x@mail.example", "2025-12-03")])
        write("survey_responses/undated.csv", [response("r-none", ""), response("r-text", "", "slow delivery again")])
        write("customer_events/undated.csv", [signal("e-none", "", "slow delivery, no day"), signal("f-none", "")])

    def aliases(self, phrase: str) -> None:
        self.home.write(
            "topic_aliases.csv", [{"topic_id": "slow", "alias": phrase, "valid_from": "2025-01-01", "valid_to": ""}]
        )

    def members(self, *customers: str) -> None:
        self.home.write("segment_members.csv", [
            {"segment_id": "g", "customer_id": customer, "valid_from": "2025-01-01", "valid_to": ""}
            for customer in customers
        ])  # fmt: skip

    def night(self, day: str, key: str = "one") -> None:
        """Land and derive a night as a home does that goes on, and compare with one that keeps nothing."""
        self.home.night(day)
        derive(self.home.settings, key)

    def like_anew(self, day: str, key: str = "one") -> None:
        """The warehouse holds what one holds that is made of the record alone."""
        settings = self.home.settings
        if self.unmark():
            # What is not by month was made of marked rows.
            derive(settings, key)
        anew = Settings(home=self.folder / f"anew-{day}", source=settings.source)
        shutil.copytree(settings.raw, anew.raw)
        night = date.fromisoformat(day)
        nights.land(anew, NightPlan(night, "repeat", anew.warehouse, night))
        derive(anew, key)
        wanted, found = tables(anew.warehouse), tables(settings.warehouse)
        assert found.keys() == wanted.keys()
        assert {table for table in found if found[table] != wanted[table]} == set()

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home.settings.warehouse)) as connection:
            for statement in statements[:-1]:
                connection.execute(statement)
            return connection.execute(statements[-1]).fetchall()

    def mark(self, month: str) -> None:
        self.run(*(
            f"update {table} set {column} = {column} || ' mark' where strftime({day}, '%Y-%m') = '{month}'"
            for table, (column, day) in MARKED.items()
        ))  # fmt: skip
        assert self.marked(month) == set(MARKED)

    def marked(self, month: str) -> set[str]:
        return {
            table for table, (column, day) in MARKED.items()
            if self.run(f"select 1 from {table} where {column} like '% mark' and strftime({day}, '%Y-%m') = '{month}'")
        }  # fmt: skip

    def unmark(self) -> bool:
        """Take all marks away; whether there were any."""
        marks = [(table, column) for table, (column, _) in MARKED.items()
                 if self.run(f"select 1 from {table} where {column} like '% mark' limit 1")]  # fmt: skip
        self.run(
            *(f"update {table} set {column} = replace({column}, ' mark', '')" for table, column in marks), "select 1"
        )
        return bool(marks)


def derive(settings: Settings, key: str) -> None:
    settings = settings.model_copy(update={"key": SecretStr(key)})
    done = DbtProcess(settings, settings.warehouse).run(
        [
            "build",
            "--select",
            *(f"+{model}" for model in SELECTED),
            "--exclude-resource-type",
            "unit_test",
            "--exclude-resource-type",
            "test",
        ]
    )
    assert (done.status, done.errors) == (0, [])


def tables(warehouse: Path) -> dict[str, list[tuple[Any, ...]]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        names = connection.execute(
            "select schema_name, table_name, string_agg(column_name, ', ' order by column_name)"
            " from duckdb_columns() where schema_name in ('main', 'intermediate') and not internal group by all"
        ).fetchall()
        return {
            f"{schema}.{table}": connection.execute(f'select {columns} from {schema}."{table}" order by all').fetchall()
            for schema, table, columns in names if table not in KEPT_TEXTS
        }  # fmt: skip


@pytest.fixture(scope="module")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Feedback:
    made = Feedback(tmp_path_factory.mktemp("feedback"))
    made.night("2026-02-01")
    return made


def test_the_feedback_holds_what_the_nights_change(feedback: Feedback) -> None:
    bodies = feedback.run("select entity_id, body from intermediate.int_texts where entity_id in ('r2', 'e-none')")
    assert dict(bodies) == {"r2": "[name] and Cy Lake hate the slow delivery", "e-none": "slow delivery, no day"}
    topics = feedback.run("select response_id, topic_id from main.response_topics order by all")
    assert topics == [("r-none", None), ("r-text", None), ("r1", "slow"), ("r2", "slow"), ("r3", "slow"),
                      ("r4", "slow"), ("r5", "slow"), ("r6", "slow")]  # fmt: skip


def test_months_that_did_not_change_are_kept(feedback: Feedback) -> None:
    feedback.mark(NOVEMBER)
    feedback.mark(DECEMBER)
    feedback.night("2026-02-02")
    assert feedback.marked(NOVEMBER) == feedback.marked(DECEMBER) == set(MARKED)


def test_what_came_late_was_replaced_or_removed_is_made_anew(feedback: Feedback) -> None:
    write, source = feedback.home.write, feedback.home.settings.source
    write("survey_responses/late.csv", [response("r7", "2025-11-20", "the slow delivery", survey_id="s2")])
    write("customer_events/late.csv", [signal("e-late", "2025-11-21", "never again")])
    write("survey_responses/january.csv", [response("r5", "2026-01-10", csat="1")])
    write("survey_topics/january.csv", [
        {"survey_id": "s1", "topic_id": "nice", "response_id": "r5", "category": "Ops"}
    ])  # fmt: skip
    (source / "customer_events" / "january.csv").unlink()
    write("customer_events/undated.csv", [signal("e-none", "", "something else"), signal("f-none", "2026-01-03")])
    feedback.night("2026-02-03")
    assert feedback.marked(NOVEMBER) == set()
    assert feedback.marked(DECEMBER) == set(MARKED)
    feedback.like_anew("2026-02-03")


def test_who_belongs_to_a_segment_changes_its_feedback_alone(feedback: Feedback) -> None:
    feedback.mark(DECEMBER)
    feedback.members("c1", "c2")
    feedback.aliases("slow")
    feedback.home.write("taxonomy_topics.csv", [
        {"id": topic, "label": topic, "parent_id": "", "weight": "2"} for topic in ("slow", "nice")
    ])  # fmt: skip
    feedback.night("2026-02-04")
    assert set(MARKED) - feedback.marked(DECEMBER) == {"intermediate.int_member_sentiment", "main.segment_feedback"}
    feedback.like_anew("2026-02-04")


def test_a_name_that_is_redacted_and_a_topic_of_a_response_change_what_is_made_of_them(feedback: Feedback) -> None:
    feedback.mark(NOVEMBER)
    feedback.mark(DECEMBER)
    with (feedback.home.settings.source / "customers.csv").open("a", encoding="utf-8") as file:
        file.write("c3,acme_1,cy@mail.example,Cy Lake,\n")
    feedback.home.write("survey_topics/december.csv", [
        {"survey_id": "s1", "topic_id": "nice", "response_id": "r3", "category": "Ops"}
    ])  # fmt: skip
    feedback.night("2026-02-05")
    assert feedback.marked(NOVEMBER) == feedback.marked(DECEMBER) == set()
    assert feedback.run("select body from intermediate.int_texts where entity_id = 'r4'") == [
        ("[name] and [name] hate the slow delivery",)
    ]
    feedback.like_anew("2026-02-05")


def test_another_key_makes_anew_what_it_masks(feedback: Feedback) -> None:
    feedback.mark(NOVEMBER)
    masked = "select id from main.customer_events where occurred_at = '2025-12-03 09:00:00'"
    before = feedback.run(masked)
    feedback.night("2026-02-06", key="two")
    assert feedback.run(masked) != before
    assert set(MARKED) - feedback.marked(NOVEMBER) == {"intermediate.int_texts"}
    feedback.like_anew("2026-02-06", key="two")
