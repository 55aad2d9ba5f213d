"""What a score is made of: a driver, a segment or an executive score down to responses, words and versions.

Read from the published file alone, most of it from the views `driver_evidence`, `segment_evidence` and
`executive_evidence`. Every sum that is shown is added here anew and compared with what is published; a difference is
said, not hidden. How figures are derived is dbt's affair.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import duckdb
from rich.console import Group

from loompin import output, reading
from loompin.failures import UnknownId
from loompin.settings import Settings

Part = str | Group
Row = dict[str, Any]

MOST = 10
"""Rows shown of what may be very many, if not all are asked for."""

_LONGEST = 1000
"""Characters of a text that are shown as a whole; of a longer one, only what stands around its words."""

_AROUND = 100


# -- a driver --------------------------------------------------------------------------------------------------------

_MEASURES: dict[str, dict[str, str]] = {
    "sentiment": {
        "score": "overall_score",
        "contribution": "contribution",
        "mean": "mean_sentiment",
        "drivers": "select * from survey_drivers where topic_id = ?",
        "scope": "tenant_id is not distinct from ? and survey_id is not distinct from ?",
    },
    "csat": {
        "score": "csat",
        "contribution": "csat_contribution",
        "mean": "mean_csat",
        "drivers": "select *, id as topic_id, null as survey_id from experience_drivers where id = ?",
        "scope": "tenant_id is not distinct from ? and cast(? as varchar) is null",
    },
}
"""Where the drivers of sentiment (by survey) and of CSAT (by tenant) stand, and what their responses have."""


def driver_plain(
    settings: Settings, topic: str, survey: str | None = None, tenant: str | None = None, every: bool = False
) -> dict[str, Any]:
    """What a topic does to the sentiment of each survey, and to the CSAT of each tenant.

    Args:
        settings: the home.
        topic: the topic's id, or its name in any case.
        survey: only this survey; then without CSAT, which is measured over all surveys of a tenant.
        tenant: only this tenant, by id or slug.
        every: all responses that touch the topic, not the most influential alone.

    Returns:
        `topic_id`, `topic`, and `drivers`: each with its published row, `added_anew` (means, impact and the sum of
        contributions), `adds_up`, `words` found in the texts, and `responses`, the most influential first.

    Raises:
        UnknownId: there is no such topic, survey or tenant, or the topic is not touched there.
    """
    with reading.published(settings) as connection:
        names = {
            row["id"]: row["label"] or row["id"]
            for row in reading.rows(
                connection,
                "select id, label from taxonomy_topics union select topic_id, topic from survey_drivers"
                " where topic_id not in (select id from taxonomy_topics)",
            )
        }
        topic_id = _named(topic, names, "topic", "select id, label from taxonomy_topics")
        of_tenant = _tenant(connection, tenant)
        found = [
            _driver(connection, measure, row, every)
            for measure, names_of in _MEASURES.items()
            for row in reading.rows(connection, f"{names_of['drivers']} order by survey_id, tenant_id", topic_id)
            if (tenant is None or row["tenant_id"] == of_tenant) and (survey is None or row["survey_id"] == survey)
        ]
        if not found:
            raise UnknownId(_not_touched(connection, topic, topic_id, survey, tenant))
        return {"topic_id": topic_id, "topic": names[topic_id], "drivers": found}


def _not_touched(
    connection: duckdb.DuckDBPyConnection, topic: str, topic_id: str, survey: str | None, tenant: str | None
) -> str:
    surveys = [
        row["survey_id"]
        for row in reading.rows(
            connection, "select distinct survey_id from survey_drivers where topic_id = ? order by survey_id", topic_id
        )
    ]
    where = f" of the tenant {tenant}" if tenant else ""
    if survey is None or not surveys:
        return f"no response to a survey{where} touches the topic {topic}"
    return f"no response{where} to the survey {survey} touches {topic}; surveys that do: {', '.join(surveys)}"


def _driver(connection: duckdb.DuckDBPyConnection, measure: str, row: Row, every: bool) -> dict[str, Any]:
    names = _MEASURES[measure]
    keys = (row["tenant_id"], row["survey_id"])
    responses = reading.rows(
        connection,
        f"""
        select response_id, survey_id, customer_id, date, {names["score"]} as score,
            {names["contribution"]} as contribution, {"score_source" if measure == "sentiment" else "'platform'"}
            as score_source, {"text_model" if measure == "sentiment" else "null"} as text_model, assigned_by, mentions,
            text
        from driver_evidence
        where topic_id = ? and {names["scope"]} and {names["score"]} is not null
        order by round(abs(contribution), 9) desc, response_id {"" if every else f"limit {MOST}"}
        """,
        row["topic_id"], *keys,
    )  # fmt: skip
    for response in responses:
        response["mentions"] = json.loads(response["mentions"] or "[]")
    anew = _added_anew(connection, names, row)
    told = {key: value for key, value in row.items() if key not in ("id", "topic")}
    return {
        "measure": measure, **told, "added_anew": anew, "adds_up": _adds_up(row, names, anew),
        "words": _words(connection, names, row), "responses": responses,
    }  # fmt: skip


def _added_anew(connection: duckdb.DuckDBPyConnection, names: dict[str, str], row: Row) -> dict[str, Any]:
    """The means from survey_sentiment and response_topics; the sum of contributions from driver_evidence."""
    keys = (row["tenant_id"], row["survey_id"])
    sums = reading.rows(
        connection,
        f"""
        with scored as (
            select response_id, survey_id, cast({names["score"]} as decimal(18, 12)) as score from survey_sentiment
            where {names["scope"]} and {names["score"]} is not null
        ), touched as (
            select scored.score from scored
            semi join (select * from response_topics where topic_id = ?) using (response_id, survey_id)
        )
        select (select count(*) from scored) as n, (select coalesce(sum(score), 0) from scored) as total,
            (select count(*) from touched) as n_topic, (select coalesce(sum(score), 0) from touched) as total_topic
        """,
        *keys, row["topic_id"],
    )[0]  # fmt: skip
    rest = sums["n"] - sums["n_topic"]
    mean = sums["total"] / sums["n"] if sums["n"] else None
    without = (sums["total"] - sums["total_topic"]) / rest if rest else None
    contributions = reading.rows(
        connection,
        f"select sum({names['contribution']}) as total from driver_evidence where topic_id = ? and {names['scope']}",
        row["topic_id"], *keys,
    )[0]["total"]  # fmt: skip
    return {
        "n_responses": sums["n"], "n_topic": sums["n_topic"], "mean": mean, "mean_without_topic": without,
        "impact": mean - without if mean is not None and without is not None and sums["n_topic"] else None,
        "contributions": contributions,
    }  # fmt: skip


def _adds_up(row: Row, names: dict[str, str], anew: dict[str, Any]) -> bool:
    pairs = [(row[names["mean"]], anew["mean"]), (row["mean_without_topic"], anew["mean_without_topic"])]
    pairs += [(row["impact_score"], anew["impact"])]
    counted = (row["n_responses"], row["n_topic"]) == (anew["n_responses"], anew["n_topic"])
    return counted and all(_same(*pair) for pair in pairs) and _exactly(row["impact_score"], anew["contributions"])


def _words(connection: duckdb.DuckDBPyConnection, names: dict[str, str], row: Row) -> list[Row]:
    """The aliases of a topic found in the texts of a driver's scored responses, by version."""
    return reading.rows(
        connection,
        f"""
        select m.alias, m.alias_valid_from, count(distinct m.entity_id) as texts,
            round(avg({names["score"]}), 3) as mean_score
        from (
            select entity_id, alias, alias_valid_from from topic_mentions
            where topic_id = ? and entity_type = 'survey_response'
        ) as m
        join survey_sentiment as s on s.response_id = m.entity_id
        semi join (select response_id, survey_id from response_topics where topic_id = ?) as t
            on t.response_id = s.response_id and t.survey_id = s.survey_id
        where {names["scope"]} and {names["score"]} is not null
        group by m.alias, m.alias_valid_from order by texts desc, m.alias, m.alias_valid_from
        """,
        row["topic_id"], row["topic_id"], row["tenant_id"], row["survey_id"],
    )  # fmt: skip


def driver(
    settings: Settings, topic: str, survey: str | None = None, tenant: str | None = None, every: bool = False
) -> Iterator[Part]:
    """The same as `driver_plain`, in words and tables.

    Raises:
        UnknownId: as `driver_plain`.
    """
    found = driver_plain(settings, topic, survey, tenant, every)
    for number, told in enumerate(found["drivers"]):
        yield from _shown_driver(found, told, first=not number)


def _shown_driver(found: dict[str, Any], told: dict[str, Any], first: bool) -> Iterator[Part]:
    of_survey = told["measure"] == "sentiment"
    what, scored = ("sentiment", "scored") if of_survey else ("CSAT", "rated")
    where = f"survey {told['survey_id']} of tenant" if of_survey else "all surveys of tenant"
    yield (
        f"{'' if first else chr(10)}{found['topic']} ({found['topic_id']}) in {where} {told['tenant_id'] or 'unknown'}:"
        f" impact {_signed(told['impact_score'])} on the {what}, trend {told['trend']},"
        f" filed under {told['category'] or 'nothing'}."
    )
    if told["reason"]:
        yield f"Note: {told['reason']}."
    mean = told[_MEASURES[told["measure"]]["mean"]]
    yield (
        f"Arithmetic: mean of all {output.count(told['n_responses'], f'{scored} response')} {_signed(mean)}"
        f" - mean of the {told['n_responses'] - told['n_topic']:,} without the topic"
        f" {_signed(told['mean_without_topic'])} = {_signed(told['impact_score'])}; {told['n_topic']:,} touch it."
    )
    if told["impact_low"] is not None:
        yield f"95 % interval of the impact: {_signed(told['impact_low'])} to {_signed(told['impact_high'])}."
    slope = "" if told["trend_slope"] is None else f", p {told['trend_p']:.2g}, {_signed(told['trend_slope'])} a week"
    yield f"The trend rests on {output.count(told['n_weeks'], 'week')}{slope}."
    anew = told["added_anew"]
    if told["adds_up"]:
        yield (
            "Added anew from survey_sentiment and response_topics: the same."
            f" The contributions of the {told['n_topic']:,} add up to it exactly."
        )
    else:
        yield (
            f"DIFFERENCE: added anew, the impact is {_signed(anew['impact'])} ({_signed(anew['mean'])} over"
            f" {anew['n_responses']:,} responses, {_signed(anew['mean_without_topic'])} without {anew['n_topic']:,});"
            f" the contributions add up to {_signed(anew['contributions'], 12)},"
            f" published is {_signed(told['impact_score'], 12)}."
        )
    if told["words"]:
        yield output.table(
            "\nWords of the topic in these texts",
            ("alias", "version (valid from)", "texts", f"their mean {what}"),
            [
                (row["alias"], row["alias_valid_from"] or "always", row["texts"], row["mean_score"])
                for row in told["words"]
            ],
        )
    if told["responses"]:
        yield f"\n{_how_many(len(told['responses']), told['n_topic'], 'response')}, the most influential first:"
    for response in told["responses"]:
        yield (
            f"\n{response['response_id']} of {response['date'] or 'an unknown day'}: {what} {response['score']:g}"
            f" {_read_by(response)}, contribution {_signed(response['contribution'], 6)}"
            f"{', topic assigned by hand' if response['assigned_by'] == 'manual' else ''}"
        )
        yield from _shown_text(response["text"], response["mentions"])


# -- a segment -------------------------------------------------------------------------------------------------------

_EMOTIONS = ("joy", "anger", "fear")


def segment_plain(settings: Settings, segment: str, every: bool = False) -> dict[str, Any]:
    """How the members of a segment feel, and the feedback that says so.

    Args:
        settings: the home.
        segment: the segment's id, or its name in any case.
        every: all feedback, not the strongest alone.

    Returns:
        The published row of the segment, `added_anew`, `adds_up`, `topics` of the feedback, and `feedback`.

    Raises:
        UnknownId: there is no such segment.
    """
    with reading.published(settings) as connection:
        rows = {row["segment_id"]: row for row in reading.rows(connection, "select * from segment_perception")}
        named = {key: row["name"] or key for key, row in rows.items()}
        row = rows[_named(segment, named, "segment", "select segment_id, name from segment_perception")]
        key = row["segment_id"]
        means = ", ".join(f"avg({emotion}) as {emotion}" for emotion in _EMOTIONS)
        anew = reading.rows(
            connection,
            "select count(*) as n_feedback, count(distinct customer_id) as n_customers,"
            " count(*) filter (sentiment = 'positive') as n_positive,"
            " count(*) filter (sentiment = 'negative') as n_negative,"
            f" sum(contribution) as contributions, {means} from segment_evidence where segment_id = ?",
            key,
        )[0]
        anew["net_sentiment"] = (
            Decimal(100 * (anew["n_positive"] - anew["n_negative"])) / anew["n_feedback"]
            if anew["n_feedback"] else None
        )  # fmt: skip
        counted = all(row[name] == anew[name] for name in ("n_feedback", "n_customers", "n_positive", "n_negative"))
        figures = all(_same(row[name], anew[name]) for name in ("net_sentiment", *_EMOTIONS))
        topics = reading.rows(
            connection,
            """
            select a.topic_id, coalesce(t.label, a.topic_id) as topic, count(*) as n_feedback,
                round(avg(f.score), 3) as mean_score, count(*) filter (a.assigned_by = 'manual') as n_manual
            from segment_feedback as f
            join topic_assignments as a on a.entity_type = f.entity_type and a.entity_id = f.entity_id
            left join taxonomy_topics as t on t.id = a.topic_id
            where f.segment_id = ? group by a.topic_id, t.label order by n_feedback desc, a.topic_id
            """,
            key,
        )
        feedback = reading.rows(
            connection,
            "select entity_type, entity_id, customer_id, date, score, sentiment, contribution, joy, anger, fear,"
            " score_source, text_model, topics, text from segment_evidence where segment_id = ?"
            f" order by abs(score) desc, entity_type, entity_id {'' if every else f'limit {MOST}'}",
            key,
        )
        for piece in feedback:
            piece["topics"] = json.loads(piece["topics"] or "[]")
        adds_up = counted and figures and _exactly(row["net_sentiment"], anew["contributions"])
        return {**row, "added_anew": anew, "adds_up": adds_up, "topics": topics, "feedback": feedback}


def segment(settings: Settings, name: str, every: bool = False) -> Iterator[Part]:
    """The same as `segment_plain`, in words and tables.

    Raises:
        UnknownId: there is no such segment.
    """
    told = segment_plain(settings, name, every)
    yield (
        f"{told['name']} ({told['segment_id']}): net sentiment {_points(told['net_sentiment'])},"
        f" {output.count(told['n_feedback'], 'piece')} of feedback"
        f" by {output.count(told['n_customers'], 'member')}."
    )
    if told["reason"]:
        yield f"Note: {told['reason']}."
    neutral = told["n_feedback"] - told["n_positive"] - told["n_negative"]
    if told["n_feedback"]:
        yield (
            f"Arithmetic: 100 x ({told['n_positive']:,} positive - {told['n_negative']:,} negative)"
            f" / {told['n_feedback']:,} = {_points(told['net_sentiment'])}; {neutral:,} neutral."
        )
        yield (
            "95 % interval of the net sentiment:"
            f" {_points(told['net_sentiment_low'])} to {_points(told['net_sentiment_high'])}."
        )
    if told["n_emotions"]:
        means = ", ".join(f"{emotion} {told[emotion]:.4f}" for emotion in _EMOTIONS if told[emotion] is not None)
        yield f"Emotions, means of {output.count(told['n_emotions'], 'response')}: {means}."
    if told["lift_trait"]:
        ends = "" if told["lift_low"] is None else f" ({told['lift_low']:.2f} to {told['lift_high']:.2f})"
        yield f"What sets it apart: {told['lift_trait']}, {told['lift']:.2f} times as often as expected{ends}."
    anew = told["added_anew"]
    if told["adds_up"]:
        yield "Added anew from segment_evidence: the same. The contributions add up to the net sentiment exactly."
    else:
        yield (
            f"DIFFERENCE: added anew, {anew['n_positive']:,} positive and {anew['n_negative']:,} negative of"
            f" {anew['n_feedback']:,} make {_points(anew['net_sentiment'])}; the contributions add up to"
            f" {_points(anew['contributions'])}, published is {_points(told['net_sentiment'])}."
        )
    if told["topics"]:
        yield output.table(
            "\nWhat the feedback is about",
            ("topic", "id", "feedback", "its mean sentiment", "assigned by hand"),
            [
                (row["topic"], row["topic_id"], row["n_feedback"], row["mean_score"], row["n_manual"])
                for row in told["topics"]
            ],
        )
    if told["feedback"]:
        yield f"\n{_how_many(len(told['feedback']), told['n_feedback'], 'piece', ' of feedback')}, the strongest first:"
    for piece in told["feedback"]:
        yield (
            f"\n{piece['entity_id']} ({piece['entity_type'].replace('_', ' ')}) of {piece['date'] or 'an unknown day'}:"
            f" sentiment {piece['score']:g} {_read_by(piece)}, {piece['sentiment']},"
            f" contribution {_signed(piece['contribution'])}"
        )
        yield from _shown_text(piece["text"], piece["topics"])


# -- an executive score ----------------------------------------------------------------------------------------------


def score_plain(settings: Settings, category: str, tenant: str | None = None, every: bool = False) -> dict[str, Any]:
    """What the score of a category of the executive view is made of.

    Args:
        settings: the home.
        category: the category or its title, in any case.
        tenant: of this tenant, by id or slug, instead of the platform.
        every: all rows behind the measures, not those that bring most alone.

    Returns:
        The published row of the category, `added_anew`, `adds_up`, and `measures`: each with its published row,
        `added_anew`, `adds_up` and `rows`, those that bring most first.

    Raises:
        UnknownId: there is no such category or tenant.
    """
    with reading.published(settings) as connection:
        of_tenant = _tenant(connection, tenant)
        rows = {
            row["category"]: row
            for row in reading.rows(
                connection, "select * from executive_config where tenant_id is not distinct from ?", of_tenant
            )
        }
        titles = {key: row["title"] or key for key, row in rows.items()}
        row = rows[_named(category, titles, "category", "select distinct category, title from executive_config")]
        measures = reading.rows(
            connection,
            "select * from executive_measures where category = ? and tenant_id is not distinct from ?"
            " order by contribution desc nulls last, measure",
            row["category"], of_tenant,
        )  # fmt: skip
        told = [_measure(connection, measure, every) for measure in measures]
        scored = [measure for measure in measures if measure["score"] is not None]
        contributions = sum((measure["contribution"] for measure in scored), Decimal(0)) if scored else None
        weight = sum(measure["weight"] for measure in scored)
        anew = sum(measure["score"] * measure["weight"] for measure in scored) / weight if weight else None
        adds_up = (row["score"] is None and anew is None) or (
            contributions is not None
            and row["score"] == int(contributions.quantize(Decimal(1), "ROUND_HALF_UP"))
            and _same(anew, contributions, 1e-8)
        )
        return {
            **row, "added_anew": {"score": anew, "contributions": contributions, "weight": weight},
            "adds_up": adds_up, "measures": told,
        }  # fmt: skip


def _measure(connection: duckdb.DuckDBPyConnection, measure: Row, every: bool) -> dict[str, Any]:
    keys = (measure["category"], measure["measure"], measure["tenant_id"])
    scope = "e.category = ? and e.measure = ? and e.tenant_id is not distinct from ?"
    rows = reading.rows(
        connection,
        f"""
        select e.evidence_table, e.evidence_id, e.date, e.figure, e.weight, e.contribution,
            coalesce(t.text, v.summary) as text
        from executive_evidence as e
        left join survey_texts as t on e.evidence_table = 'survey_sentiment' and t.response_id = e.evidence_id
        left join customer_events as v on e.evidence_table = 'customer_events' and v.id = e.evidence_id
        where {scope} order by round(abs(e.contribution), 9) desc, e.evidence_id {"" if every else f"limit {MOST}"}
        """,
        *keys,
    )
    anew = reading.rows(
        connection,
        "select count(*) as n, sum(figure * weight) / sum(weight) as value, sum(contribution) as contributions"
        f" from executive_evidence as e where {scope}",
        *keys,
    )[0]
    anew["score"] = None
    if anew["value"] is not None and measure["best"] != measure["worst"]:
        share = (measure["value"] - measure["worst"]) / (measure["best"] - measure["worst"])
        anew["score"] = 100 * min(max(share, 0), 1)
    adds_up = (
        _same(measure["value"], anew["value"], 1e-9 * max(1, abs(measure["value"] or 0)))
        and _same(measure["score"], anew["score"])
        and _exactly(measure["value"], anew["contributions"])
        and (measure["n"] is None or measure["n"] == anew["n"])
    )
    return {**measure, "added_anew": anew, "adds_up": adds_up, "rows": rows}


def score(settings: Settings, category: str, tenant: str | None = None, every: bool = False) -> Iterator[Part]:
    """The same as `score_plain`, in words and tables.

    Raises:
        UnknownId: as `score_plain`.
    """
    told = score_plain(settings, category, tenant, every)
    whose = f"tenant {told['tenant_id']}" if told["tenant_id"] else "the platform"
    value = "none" if told["score"] is None else f"{told['score']} of 100"
    yield f"{told['category']} ({told['title']}) of {whose}: score {value}, trend {told['trend']}. {told['narrative']}."
    if told["reason"]:
        yield f"Note: {told['reason']}."
    slope = "" if told["trend_slope"] is None else f", {_signed(told['trend_slope'])} points a period"
    yield f"The trend rests on {output.count(told['n_periods'], 'period')}{slope}."
    yield output.table(
        "\nMeasures: points between worst (0) and best (100), times weight, over the weights that have a figure",
        ("measure", "figure", "worst", "best", "points", "weight", "contribution", "from", "period", "rows"),
        [
            (
                row["measure"], row["value"], row["worst"], row["best"],
                None if row["score"] is None else round(row["score"], 6), row["weight"],
                None if row["contribution"] is None else round(row["contribution"], 6), row["source"],
                row["period_start"], row["n"],
            )
            for row in told["measures"]
        ],
    )  # fmt: skip
    anew = told["added_anew"]
    if not told["adds_up"]:
        total = "nothing" if anew["score"] is None else f"{anew['score']:.6f}"
        yield (
            f"DIFFERENCE: points times weight make {total}, the contributions add up to"
            f" {anew['contributions']}; the score says {told['score']}."
        )
    elif told["score"] is not None:
        terms = " + ".join(f"{row['contribution']:.6f}" for row in told["measures"] if row["contribution"] is not None)
        yield f"Arithmetic: {terms} = {anew['contributions']:.6f}, rounded {told['score']}; the score exactly."
    for row in told["measures"]:
        yield from _shown_measure(row)


def _shown_measure(told: dict[str, Any]) -> Iterator[Part]:
    anew = told["added_anew"]
    if told["value"] is None:
        yield f"\n{told['measure']}: {told['reason']}."
        return
    yield output.table(
        f"\n{told['measure']}: {_figure(told['value'])}, {_how_many(len(told['rows']), anew['n'], 'row')} behind it",
        ("table", "row", "date", "figure", "weight", "contribution", "text"),
        [
            (
                row["evidence_table"], row["evidence_id"], row["date"], row["figure"], row["weight"],
                round(row["contribution"], 6), _around(row["text"], []) if row["text"] else None,
            )
            for row in told["rows"]
        ],
    )  # fmt: skip
    if told["adds_up"]:
        yield f"They add up to {_figure(told['value'])}, the figure exactly."
    else:
        found = "nothing" if anew["value"] is None else _figure(anew["value"])
        yield (
            f"DIFFERENCE: {output.count(anew['n'], 'row')} make {found} and add up to {anew['contributions']};"
            f" the figure says {told['value']!r}."
        )


# -- what they share -------------------------------------------------------------------------------------------------


def _named(asked: str, names: dict[str, str], kind: str, query: str) -> str:
    """The id that is asked for, by id or by name in any case."""
    if asked in names:
        return asked
    wanted = asked.casefold()
    found = sorted(key for key, told in names.items() if wanted in (key.casefold(), told.casefold()))
    if found:
        return found[0]
    raise UnknownId(f'there is no {kind} {asked}{_nearest(asked, names)}; see them: loompin sql "{query}"')


def _nearest(asked: str, names: dict[str, str]) -> str:
    """The names that are most like one that there is not, with their ids."""
    known = {told.casefold(): key for key, told in (*((key, key) for key in names), *names.items())}
    near = dict.fromkeys(known[one] for one in difflib.get_close_matches(asked.casefold(), known, n=3, cutoff=0.5))
    told = ", ".join(key if names[key] == key else f"{names[key]} ({key})" for key in near)
    return f"; the nearest: {told}" if told else ""


def _tenant(connection: duckdb.DuckDBPyConnection, tenant: str | None) -> str | None:
    """The full id of a tenant, by id, slug or name."""
    if tenant is None:
        return None
    rows = reading.rows(connection, "select id, slug, name from tenants order by id")
    for row in rows:
        if tenant in (row["id"], row["slug"]):
            return str(row["id"])
    named = {row["slug"] or row["id"]: row["name"] or row["id"] for row in rows}
    slug = _named(tenant, named, "tenant", "select id, slug, name from tenants")
    return next(str(row["id"]) for row in rows if slug in (row["slug"], row["id"]))


def _same(published: float | None, anew: float | Decimal | None, tolerance: float = 1e-9) -> bool:
    """Whether two figures are one, but for the noise of division."""
    if published is None or anew is None:
        return published is None and anew is None
    return abs(published - float(anew)) <= tolerance


def _exactly(published: float | None, contributions: Decimal | None) -> bool:
    """Whether contributions add up to a published figure, to the last of twelve decimals (or of a double's digits)."""
    if published is None or contributions is None:
        return published is None and contributions is None
    figure = Decimal(published)
    return abs(figure - contributions) <= max(Decimal("5e-13"), abs(figure) * Decimal("2e-16"))


def _signed(value: float | Decimal | None, decimals: int = 4) -> str:
    return "none" if value is None else f"{value:+.{decimals}f}"


def _figure(value: float) -> str:
    return f"{value:,.6f}".rstrip("0").rstrip(".")


def _points(value: float | Decimal | None) -> str:
    return "none" if value is None else f"{value:+.2f} points"


def _how_many(shown: int, known: int, one: str, more: str = "") -> str:
    if shown == known:
        return output.count(known, one) + more
    return f"{shown:,} of {output.count(known, one)}{more} (all with --all)"


def _read_by(row: Row) -> str:
    """Whose score it is, and by which models where a text was read."""
    return "(sent by the platform)" if row["score_source"] == "platform" else f"(text read by {row['text_model']})"


def _shown_text(text: str | None, places: Iterable[Row]) -> Iterator[str]:
    """A text with the words marked that were found in it, then each of them with its offsets and alias version."""
    found = [place for place in places if place["match_start"] is not None]
    if text is None:
        yield "  (no text)"
    else:
        yield f"  {_around(text, found)}"
    for place in places:
        topic = f"{place['topic']}: " if "topic" in place else ""
        if place["match_start"] is None:
            yield f"  - {topic}assigned by hand"
            continue
        version = place["alias_valid_from"] or "always valid"
        aside = "" if place.get("is_assigned", True) else "; set aside, as topics were assigned by hand"
        yield (
            f"  - {topic}«{place['words']}» at {place['match_start']:,} to {place['match_end']:,},"
            f" alias '{place['alias']}' (version {version}){aside}"
        )


def _around(text: str, places: list[Row]) -> str:
    """A text on one line with its words marked; of a long one, what stands around them, or its beginning."""
    spans = sorted({(place["match_start"], place["match_end"]) for place in places})
    keep = [(0, len(text))]
    if len(text) > _LONGEST:
        keep = [(max(start - _AROUND, 0), end + _AROUND) for start, end in spans[:MOST]] or [(0, _LONGEST)]
    pieces, at = [], 0
    for start, end in keep:
        begin = max(start, at)
        pieces.append("... " if begin > at else "")
        at = begin
        for first, last in spans:
            if at <= first and last <= end:
                pieces.append(f"{text[at:first]}«{text[first:last]}»")
                at = last
        pieces.append(text[at:end])
        at = max(at, min(end, len(text)))
    pieces.append(" ..." if at < len(text) else "")
    return "".join(pieces).replace("\n", " ")
