"""What a score is made of: a driver down to the responses and the words in them.

Read from the published file alone. Every sum that is shown is added here anew and compared with what is published; a
difference is said, not hidden. How figures are derived is dbt's affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
from rich.console import Group

from loompin import output, reading
from loompin.failures import UnknownId
from loompin.settings import Settings

Part = str | Group

_MOST_TEXTS = 5


def driver(settings: Settings, topic: str, survey: str | None) -> Iterator[Part]:
    """What a topic does to the sentiment of surveys, and the responses and words behind it.

    Raises:
        UnknownId: there is no such topic, or it is in no such survey.
    """
    with reading.published(settings) as connection:
        drivers = reading.rows(
            connection,
            "select * from survey_drivers where topic_id = ? or lower(topic) = lower(?) order by survey_id, tenant_id",
            topic,
            topic,
        )
        if not drivers:
            known = reading.rows(
                connection, "select id from taxonomy_topics where id = ? or lower(label) = lower(?)", topic, topic
            )
            if not known:
                raise UnknownId(
                    f'there is no topic {topic}; see them: loompin sql "select id, label from taxonomy_topics"'
                )
            raise UnknownId(f"no response to a survey touches the topic {topic}")
        if survey is not None:
            surveys = sorted({row["survey_id"] for row in drivers})
            drivers = [row for row in drivers if row["survey_id"] == survey]
            if not drivers:
                raise UnknownId(
                    f"no response to the survey {survey} touches {topic}; surveys that do: {', '.join(surveys)}"
                )
        for found in drivers:
            yield from _driver(connection, found)


def _driver(connection: duckdb.DuckDBPyConnection, found: dict[str, Any]) -> Iterator[Part]:
    scored = reading.rows(
        connection,
        """
        select s.response_id, s.overall_score, max(case when t.topic_id is not null then 1 else 0 end) as touches
        from survey_sentiment as s
        left join survey_topics as t
            on t.response_id = s.response_id and coalesce(t.survey_id, s.survey_id) = s.survey_id and t.topic_id = ?
        where s.survey_id = ? and s.tenant_id is not distinct from ? and s.overall_score is not null
        group by all order by s.overall_score, s.response_id
        """,
        found["topic_id"], found["survey_id"], found["tenant_id"],
    )  # fmt: skip
    yield (
        f"\n{found['topic']} ({found['topic_id']}) in survey {found['survey_id']}"
        f" of tenant {found['tenant_id'] or 'unknown'}: impact {_points(found['impact_score'])},"
        f" trend {found['trend']}, filed under {found['category'] or 'nothing'}."
    )
    if found["reason"]:
        yield f"Note: {found['reason']}."
    touching = [row for row in scored if row["touches"]]
    rest = [row["overall_score"] for row in scored if not row["touches"]]
    yield (
        f"Mean sentiment of all {output.count(found['n_responses'], 'scored response')}:"
        f" {_points(found['mean_sentiment'])}; without the {found['n_topic']} that touch the topic:"
        f" {_points(found['mean_without_topic'])}."
    )
    if found["impact_low"] is not None:
        ends = f"{_points(found['impact_low'])} to {_points(found['impact_high'])}"
        yield f"95 % interval of the impact: {ends}; the trend rests on {found['n_weeks']} weeks."
    if scored and rest and found["impact_score"] is not None:
        anew = sum(row["overall_score"] for row in scored) / len(scored) - sum(rest) / len(rest)
        same = len(scored) == found["n_responses"] and abs(anew - found["impact_score"]) < 1e-9
        told = "the same" if same else f"DIFFERENCE: {_points(anew)} over {len(scored)} responses"
        yield f"Added anew from survey_sentiment and survey_topics: {told}."
    yield from _responses(connection, found, touching)
    yield from _words(connection, found)


def _responses(
    connection: duckdb.DuckDBPyConnection, found: dict[str, Any], touching: list[dict[str, Any]]
) -> Iterator[Part]:
    if not touching:
        return
    ends = touching if len(touching) <= 2 * _MOST_TEXTS else [*touching[:_MOST_TEXTS], *touching[-_MOST_TEXTS:]]
    aliases = {
        row["entity_id"]: row["matched_alias"]
        for row in reading.rows(
            connection,
            "select entity_id, matched_alias from topic_assignments"
            " where topic_id = ? and entity_type = 'survey_response'",
            found["topic_id"],
        )
    }
    yield output.table(
        "\nResponses that touch it, the lowest and the highest",
        ("response", "sentiment", "words of the topic in its text"),
        [(row["response_id"], row["overall_score"], aliases.get(row["response_id"])) for row in ends],
        caption=f"{output.count(len(touching), 'response')} in all",
    )


def _words(connection: duckdb.DuckDBPyConnection, found: dict[str, Any]) -> Iterator[Part]:
    words = reading.rows(
        connection,
        """
        select a.matched_alias, count(*) as texts, round(avg(s.overall_score), 3) as mean_sentiment
        from topic_assignments as a
        inner join survey_sentiment as s on s.response_id = a.entity_id and a.entity_type = 'survey_response'
        where a.topic_id = ? and s.survey_id = ? and a.matched_alias is not null
        group by a.matched_alias order by texts desc, a.matched_alias
        """,
        found["topic_id"], found["survey_id"],
    )  # fmt: skip
    if words:
        yield output.table(
            "\nWords found in the survey's texts",
            ("words", "texts", "their mean sentiment"),
            [(row["matched_alias"], row["texts"], row["mean_sentiment"]) for row in words],
        )


def _points(value: float | None) -> str:
    return "none" if value is None else f"{value:+.4f}"
