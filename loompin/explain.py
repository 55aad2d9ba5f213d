"""What a published figure is made of: an invoice down to usage events, a driver down to the words.

Read from the published file and, for usage events, from the landed Parquet parts. Every sum that is shown is added here
anew and compared with what is published; a difference is said, not hidden. How figures are derived is dbt's affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import duckdb
from rich.console import Group

from loompin import output, reading
from loompin.failures import UnknownId
from loompin.record import FileVersion, Record, current_versions
from loompin.settings import Settings
from loompin.sqltext import literal

Part = str | Group

_MOST_EVENTS = 50
_EVENT_CONTENT = ("event_id", "driver_key", "quantity", "occurred_at", "received_at", "cancels_event_id")
_EVENT_COLUMNS = ("event_id", "occurred_at", "received_at", "quantity", "status", "source_file", "source_line")
_MOST_TEXTS = 5


def invoice(settings: Settings, number: str, events: bool) -> Iterator[Part]:
    """An invoice and its lines.

    Raises:
        UnknownId: there is no such invoice.
    """
    with reading.published(settings) as connection:
        heads = reading.rows(connection, "select * from invoices where id = ?", number)
        if not heads:
            raise UnknownId(
                f'there is no invoice {number}; see them: loompin sql "select id, tenant_slug, date from invoices"'
            )
        head = heads[0]
        lines = reading.rows(
            connection,
            "select * from invoice_lines where invoice_id = ? order by service_from, line_type, item_key, line_id",
            number,
        )
        currency = head["currency"]
        yield (
            f"Invoice {head['id']} of {head['date']} to {head['tenant_slug']} ({head['tenant_id']}):"
            f" {head['amount']} {currency}, {head['status']}, due {head['due_date']},"
            f" {head['balance']} {currency} left to pay."
        )
        shown = {
            "type": "line_type", "item": "item_key", "from": "service_from", "to (excluded)": "service_to",
            "quantity": "quantity", "unit price": "unit_price", "exact": "amount_exact", "amount": "amount",
            "price book": "price_book", "price entry": "price_entry_id",
        }  # fmt: skip
        yield output.table(
            "\nLines",
            ("line", *shown),
            [(place, *(line[column] for column in shown.values())) for place, line in enumerate(lines, 1)],
        )
        yield from _sum(head, lines)
        for place, line in enumerate(lines, 1):
            yield f"Line {place}: {_line_in_words(connection, line)}"
        yield from _tiers(connection, lines)
        yield from _notes(connection, head)
        if events:
            usage = [line for line in lines if is_driver(connection, line["item_key"])]
            if usage:
                yield from _events(settings, connection, head, usage)
            else:
                yield "\nNo line of this invoice is about usage."


def is_driver(connection: duckdb.DuckDBPyConnection, item: str) -> bool:
    """Whether an item of a line is a cost driver, so that usage events stand behind it."""
    return bool(reading.rows(connection, "select 1 from cost_drivers where driver_key = ?", item))


def _sum(head: dict[str, Any], lines: list[dict[str, Any]]) -> Iterator[Part]:
    total = sum(line["amount"] for line in lines)
    if total == head["amount"]:
        yield f"The lines add up to {total} {head['currency']}, the amount of the invoice."
    else:
        yield f"DIFFERENCE: the lines add up to {total} {head['currency']}, the invoice says {head['amount']}."


def _line_in_words(connection: duckdb.DuckDBPyConnection, line: dict[str, Any]) -> str:
    item, kind = line["item_key"], line["line_type"]
    by = (
        f"price book {line['price_book']}, entry {line['price_entry_id']}"
        if line["price_book"]
        else "the plan's own price"
    )
    corrected = ""
    if line["corrects_line_id"]:
        first = reading.rows(
            connection,
            "select l.amount, l.quantity, i.id, i.date from invoice_lines as l"
            " left join invoices as i on i.id = l.invoice_id where l.line_id = ?",
            line["corrects_line_id"],
        )
        if first:
            where = f"on {first[0]['id']} of {first[0]['date']}" if first[0]["id"] else "without an invoice"
            corrected = f"; first billed {where} with {first[0]['quantity']} for {first[0]['amount']}"
    if kind == "credit":
        return "brings an invoice whose lines sum below 0 up to 0; the rest is a credit note"
    if kind == "minimum":
        return "what is missing to the minimum commitment of the month"
    if item.startswith("plan:"):
        plan = item.removeprefix("plan:")
        return f"fee of plan {plan}, {line['quantity']} days, at {line['unit_price']} a month by {by}{corrected}"
    price = f"at {line['unit_price']} a unit" if line["unit_price"] is not None else "by tiers"
    return f"{line['quantity']} units of {item} {price} by {by}{corrected}"


def _tiers(connection: duckdb.DuckDBPyConnection, lines: list[dict[str, Any]]) -> Iterator[Part]:
    entries = sorted({line["price_entry_id"] for line in lines if line["price_entry_id"]})
    if not entries:
        return
    listed = ", ".join("?" for _ in entries)
    rows = reading.rows(
        connection,
        f"""
        select p.price_book, p.item_key, p.pricing_model, p.tier_up_to, p.unit_price, p.flat_fee, p.package_size,
            p.free_units, p.valid_from, p.valid_to
        from price_entries as p
        where (p.price_book, p.item_key, p.valid_from) in (
            select (q.price_book, q.item_key, q.valid_from) from price_entries as q where q.id in ({listed})
        )
        order by p.price_book, p.item_key, p.valid_from, p.tier_up_to nulls last
        """,
        *entries,
    )
    if rows:
        yield output.table("\nPrices that these lines come from", list(rows[0]), [list(row.values()) for row in rows])


def _notes(connection: duckdb.DuckDBPyConnection, head: dict[str, Any]) -> Iterator[Part]:
    for note in reading.rows(
        connection, "select id, amount, amount_left from credit_notes where invoice_id = ?", head["id"]
    ):
        yield (
            f"Credit note {note['id']} opened here: {note['amount']} {head['currency']},"
            f" {note['amount_left']} of it unused."
        )
    paid = head["amount"] - head["balance"]
    if paid:
        yield f"Paid by payments and credit notes so far: {paid} {head['currency']}."


def _events(
    settings: Settings, connection: duckdb.DuckDBPyConnection, head: dict[str, Any], lines: list[dict[str, Any]]
) -> Iterator[Part]:
    """The usage events of each item and service month, with what became of them, as known on the published night."""
    night = reading.rows(connection, "select night from data_as_of")[0]["night"]
    events = _usage_events(settings, connection, head["tenant_id"], night)
    for item, since, until in sorted({(line["item_key"], line["service_from"], line["service_to"]) for line in lines}):
        found = [
            event for event in events if event["driver_key"] == item and since <= event["occurred_at"].date() < until
        ]
        counted = sum(event["quantity"] for event in found if event["status"] == "counted")
        daily = reading.rows(
            connection,
            "select coalesce(sum(quantity), 0) as quantity from tenant_usage_daily"
            " where tenant_id = ? and driver_key = ? and usage_date >= ? and usage_date < ?",
            head["tenant_id"],
            item,
            since,
            until,
        )[0]["quantity"]
        shown = found[:_MOST_EVENTS]
        rest = len(found) - len(shown)
        yield output.table(
            f"\nUsage events of {item}, {since} to {until} (excluded), as known on {night}",
            ("event", "occurred (UTC)", "received (UTC)", "quantity", "what became of it", "file", "line"),
            [[event[column] for column in _EVENT_COLUMNS] for event in shown],
            caption=f"and {rest:,} more" if rest > 0 else None,
        )
        agrees = (
            "which is what tenant_usage_daily holds"
            if counted == daily
            else f"DIFFERENCE: tenant_usage_daily holds {daily}"
        )
        here = [line for line in lines if (line["item_key"], line["service_from"]) == (item, since)]
        billed = sum(line["quantity"] for line in here)
        yield f"Counted: {counted} units, {agrees}; {billed} of them are billed on this invoice."


def _usage_events(
    settings: Settings, connection: duckdb.DuckDBPyConnection, tenant: str, night: date
) -> list[dict[str, Any]]:
    """All usage events of a tenant known on a night, each with what became of it.

    Of one id in one service month the first known counts; an event that another one names in `cancels_event_id` is
    cancelled; what the quarantine holds does not count.
    """
    held = reading.rows(
        connection, "select source_file, source_line, rule from quarantine where table_name = 'usage_events'"
    )
    refused = {(row["source_file"], row["source_line"]): row["rule"] for row in held}
    found = sorted(
        _received(settings, _references(connection, tenant), night),
        key=lambda event: (event["known"], event["received_at"], event["source_file"], event["source_line"]),
    )
    first: dict[tuple[str, date], dict[str, Any]] = {}
    for event in found:
        event["status"] = "counted"
        rule = refused.get((event["source_file"], event["source_line"])) if event["current"] else None
        if rule is not None:
            event["status"] = rule
        elif first.setdefault((event["event_id"], _month(event)), event) is not event:
            event["status"] = "duplicate"
    for event in first.values():
        if event["cancels_event_id"]:
            event["status"] = "cancels " + event["cancels_event_id"]
            cancelled = first.get((event["cancels_event_id"], _month(event)))
            if (
                cancelled is not None
                and cancelled["driver_key"] == event["driver_key"]
                and not cancelled["cancels_event_id"]
            ):
                cancelled["status"] = "cancelled"
    return sorted(found, key=lambda event: (event["occurred_at"], event["event_id"], event["source_line"]))


def _month(event: dict[str, Any]) -> date:
    month: date = event["occurred_at"].date().replace(day=1)
    return month


def _references(connection: duckdb.DuckDBPyConnection, tenant: str) -> list[str]:
    """How a source may write a tenant: its id, its slug, and the beginnings of its id that fit no other tenant."""
    tenants = reading.rows(connection, "select id, slug from tenants")
    slugs = [row["slug"] for row in tenants if row["id"] == tenant and row["slug"]]
    prefixes = [
        tenant[:length]
        for length in range(1, len(tenant))
        if sum(row["id"].startswith(tenant[:length]) for row in tenants) == 1
    ]
    return [tenant, *slugs, *prefixes]


def _received(settings: Settings, references: list[str], night: date) -> list[dict[str, Any]]:
    """The usage events that these references name, from every accepted version of every file, a row once."""
    from loompin import landing

    record = Record(settings.raw)
    nights = [done for done in record.nights() if done.night <= night]
    versions = [version for done in nights for version in done.accepted if version.table == "usage_events"]
    current = {version.id for version in current_versions(nights).values()}
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    with landing.connect(memory_limit=reading.MEMORY_LIMIT) as parquet:
        for version in versions:
            for event in reading.rows(parquet, _events_sql(record, version, references, night)):
                key = (version.source_file, *(event[column] for column in (*_EVENT_CONTENT, "copy")))
                # An unchanged row has been known since the version that first brought it.
                known = min(event["known"], merged[key]["known"]) if key in merged else event["known"]
                place = {"source_file": version.source_file, "current": version.id in current}
                merged[key] = {**event, **place, "known": known}
    return list(merged.values())


def _events_sql(record: Record, version: FileVersion, references: list[str], night: date) -> str:
    part = literal(str(record.part(version)))
    listed = ", ".join(literal(reference) for reference in references)
    content = ", ".join(_EVENT_CONTENT)
    known = "cast(coalesce(received_at, occurred_at) as date)"
    if version.completed_before is not None and version.accepted is not None:
        late = f"{known} <= date '{version.completed_before}'"
        known = f"case when {late} then date '{version.accepted}' else {known} end"
    return f"""
        select {content}, coalesce(_line, file_row_number + {version.line_offset}) as source_line, {known} as known,
            row_number() over (partition by {content} order by file_row_number) as copy
        from read_parquet({part}, file_row_number = true)
        where _bad is null and {known} <= date '{night}'
            and regexp_replace(tenant_id, '-?([.]{{2,}}|…)$', '') in ({listed})
    """


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
