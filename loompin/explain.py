"""What a published figure is made of: an invoice down to usage events, a driver down to the words.

Read from the published file and, for usage events, from the landed Parquet parts. Every sum that is shown is added here
anew and compared with what is published; a difference is said, not hidden. How figures are derived is dbt's affair.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
from rich.console import Group

from loompin import invoice_changes, money, output, price_sets, reading
from loompin.failures import UnknownId
from loompin.record import FileVersion, Record, current_versions
from loompin.settings import Settings
from loompin.sqltext import literal

Part = str | Group

_SAMPLE = 3
_ZERO = Decimal(0)
_EVENT_CONTENT = ("event_id", "driver_key", "quantity", "occurred_at", "received_at", "cancels_event_id")
_EVENT_COLUMNS = ("event_id", "occurred_at", "received_at", "quantity", "status", "source_file", "source_line")
_MOST_TEXTS = 5


def invoice(settings: Settings, number: str, events: bool) -> Iterator[Part]:
    """An invoice: its lines with rule, price and arithmetic, the events behind them, payments, and what changed.

    Args:
        settings: the home.
        number: the invoice's number.
        events: list all usage events behind the usage lines, with what became of each.

    Raises:
        UnknownId: there is no such invoice.
    """
    with reading.published(settings) as connection:
        found = _explained(connection, number)
        head, lines = found["invoice"], found["lines"]
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
            [(line["line"], *(line[column] for column in shown.values())) for line in lines],
        )
        total = found["lines_amount"]
        if total == head["amount"]:
            yield f"The lines add up to {total} {currency}, the amount of the invoice."
        else:
            yield f"DIFFERENCE: the lines add up to {total} {currency}, the invoice says {head['amount']}."
        for line in lines:
            yield f"\nLine {line['line']}: {line['item_key']}, {line['amount']} {currency}"
            yield f"  why: {line['rule']}"
            if line["price"]:
                yield f"  price: {line['price']}"
            if line["arithmetic"]:
                yield f"  arithmetic: {line['arithmetic']}"
            if line["events"] is not None:
                yield f"  events: {_events_in_words(line['events'])}"
        yield from _price_sets(connection, lines)
        yield from _settled(found)
        yield from _changed(found)
        if events:
            usage = [line for line in lines if line["events"] is not None]
            if usage:
                yield from _events(settings, connection, head, usage)
            else:
                yield "\nNo line of this invoice is about usage."


def invoice_plain(settings: Settings, number: str, events: bool) -> dict[str, Any]:
    """The same as one object for JSON; with `events`, `events` of each usage line lists all of them in `all`.

    Raises:
        UnknownId: there is no such invoice.
    """
    with reading.published(settings) as connection:
        found = _explained(connection, number)
        if events:
            night = reading.rows(connection, "select night from data_as_of")[0]["night"]
            known = _usage_events(settings, connection, found["invoice"]["tenant_id"], night)
            counted = _billed_events(connection, found["invoice"])
            places = {line["line_id"]: line["events"] for line in found["lines"] if line["events"] is not None}
            for told in places.values():
                told["all"] = []
            for event in known:
                for line_id, counts in counted.get((event["event_id"], _month(event)), {}).items():
                    if event["status"] not in _COPIES:
                        columns = {column: event[column] for column in (*_EVENT_COLUMNS, "driver_key")}
                        places[line_id]["all"].append({**columns, "counts": counts})
        return found


# Rows with the id of an event, that are not the one that counts.
_COPIES = frozenset(("duplicate", "duplicate_conflict"))


def _explained(connection: duckdb.DuckDBPyConnection, number: str) -> dict[str, Any]:
    heads = reading.rows(connection, "select * from invoices where id = ?", number)
    if not heads:
        raise UnknownId(unknown_invoice(number))
    head = heads[0]
    lines = _lines(connection, number)
    counted = _counted(connection, head)
    for place, line in enumerate(lines, 1):
        driver = is_driver(connection, line["item_key"])
        tiers = _tiers(connection, line) if driver else []
        history = _chain(connection, line, head["date"]) if line["line_type"] in ("adjustment", "proration") else []
        line["line"] = place
        line["rule"] = _rule(connection, head, line, history)
        line["price"] = _price(line, tiers)
        line["tiers"] = [{column: tier[column] for column in _TIER_COLUMNS} for tier in tiers]
        line["arithmetic"] = _arithmetic(line, tiers, history)
        line["billed_before"] = [{column: row[column] for column in _CHAIN_COLUMNS} for row in history]
        line["events"] = counted.get(line["line_id"], dict(_NO_EVENTS)) if driver else None
    return {
        "invoice": head,
        "lines": lines,
        "lines_amount": sum((line["amount"] for line in lines), _ZERO),
        **_settlement(connection, head),
        "changes": _changes(connection, head, lines),
    }


def unknown_invoice(number: str) -> str:
    """What to tell of an invoice that there is not."""
    return f'there is no invoice {number}; see them: loompin sql "select id, tenant_slug, date, amount from invoices"'


def is_driver(connection: duckdb.DuckDBPyConnection, item: str) -> bool:
    """Whether an item of a line is a cost driver, so that usage events stand behind it."""
    return bool(reading.rows(connection, "select 1 from cost_drivers where driver_key = ?", item))


def _lines(connection: duckdb.DuckDBPyConnection, number: str) -> list[dict[str, Any]]:
    return reading.rows(
        connection,
        "select * from invoice_lines where invoice_id = ? order by service_from, line_type, item_key, line_id",
        number,
    )


# -- a line: rule, price, arithmetic ---------------------------------------------------------------------------------

_TIER_COLUMNS = (
    "tier", "pricing_model", "tier_from", "tier_up_to", "units", "unit_price", "flat_fee", "amount_exact",
    "price_entry_id",
)  # fmt: skip
_CHAIN_COLUMNS = ("invoice_id", "date", "line_type", "quantity", "amount_exact", "amount")


def _rule(
    connection: duckdb.DuckDBPyConnection, head: dict[str, Any], line: dict[str, Any], history: list[dict[str, Any]]
) -> str:
    """Why a line is there, in words."""
    kind, item, month = line["line_type"], line["item_key"], f"{line['service_from']:%B %Y}"
    plan = item.removeprefix("plan:")
    first = f"{history[0]['invoice_id'] or 'no invoice'} of {history[0]['date']}" if history else ""
    if kind == "subscription":
        return f"the fee of plan {plan} for {month}, in advance: the plan is in force on {line['service_from']}"
    if kind == "proration":
        days = money.plain(abs(line["quantity"]))
        span = f"{line['service_from']} to {line['service_to']} (excluded)"
        if line["quantity"] < 0:
            return f"{days} days of {span} that plan {plan} does not cover after all, billed in advance on {first}"
        billed = f"; {first} billed what was known before" if history else ""
        return f"{days} days of {span} that plan {plan} covers and nothing billed yet{billed}"
    if kind == "usage" and not line["quantity"] and line["amount"]:
        return f"the flat fee of {item}, owed once in a subscribed month without usage of it: {month}"
    if kind == "usage":
        return f"usage of {month}, in arrears: all that was known at the end of {head['date']}"
    if kind == "minimum" or item == "minimum":
        used, rest = _minimum(connection, head, line)
        told = (
            f"usage of {month} came to {used} {line['currency']}, {rest} less than the minimum commitment of its days"
        )
        return told if kind == "minimum" else f"{told}: the rest is stated anew, as that usage changed after {first}"
    if kind == "credit":
        return "the other lines sum below 0: this line brings the invoice to 0.00, and a credit note takes the rest"
    if history:
        return f"usage of {month} that became known, or was cancelled, after {first} billed the month"
    return f"usage of {month}, first billed now: it, its subscription or its price was not known when the month closed"


def _minimum(
    connection: duckdb.DuckDBPyConnection, head: dict[str, Any], line: dict[str, Any]
) -> tuple[Decimal, Decimal]:
    """What the usage of the month of a minimum line has come to by now, and what it lacks to the commitment."""
    row = reading.rows(
        connection,
        "select coalesce(sum(case when l.item_key <> 'minimum' then l.amount end), 0) as used,"
        " coalesce(sum(case when l.item_key = 'minimum' then l.amount end), 0) as rest"
        " from invoice_lines as l join invoices as i on i.id = l.invoice_id"
        " where l.tenant_id = ? and l.currency = ? and i.date <= ?"
        " and l.line_type in ('usage', 'minimum', 'adjustment')"
        " and date_trunc('month', l.service_from) = date_trunc('month', cast(? as date))",
        head["tenant_id"], head["currency"], head["date"], line["service_from"],
    )[0]  # fmt: skip
    return row["used"], row["rest"]


def _chain(connection: duckdb.DuckDBPyConnection, line: dict[str, Any], until: date) -> list[dict[str, Any]]:
    """What was billed before of what a line corrects, oldest first."""
    if line["corrects_line_id"] is None:
        return []
    return reading.rows(
        connection,
        "select l.invoice_id, coalesce(i.date, cast(date_trunc('month', l.service_to) as date)) as date, l.line_type,"
        " l.quantity, l.amount_exact, l.amount from invoice_lines as l left join invoices as i on i.id = l.invoice_id"
        " where (l.line_id = ? or l.corrects_line_id = ?) and l.line_id <> ? and coalesce(i.date, l.service_to) < ?"
        " order by 2",
        line["corrects_line_id"], line["corrects_line_id"], line["line_id"], until,
    )  # fmt: skip


def _tiers(connection: duckdb.DuckDBPyConnection, line: dict[str, Any]) -> list[dict[str, Any]]:
    return reading.rows(connection, "select * from invoice_line_tiers where line_id = ? order by tier", line["line_id"])


def _price(line: dict[str, Any], tiers: list[dict[str, Any]]) -> str | None:
    if line["line_type"] == "credit" or line["item_key"] == "minimum":
        return None
    if not line["price_book"]:
        return f"the plan's own price, {money.plain(line['unit_price'])} {line['currency']} a month"
    model = f", {tiers[0]['pricing_model']}" if tiers else ""
    price = ""
    if line["unit_price"] is not None:
        each = "month" if line["item_key"].startswith("plan:") else "unit"
        price = f", {money.plain(line['unit_price'])} {line['currency']} a {each}"
    return f"price book {line['price_book']}, entry {line['price_entry_id']}{model}{price}"


def _arithmetic(line: dict[str, Any], tiers: list[dict[str, Any]], history: list[dict[str, Any]]) -> str | None:
    """How a line's amount comes about, added anew: `1,000 x 0.01 + 250.5 x 0.008 = 12.004 -> 12.00`."""
    if line["line_type"] == "credit" or line["item_key"] == "minimum":
        return None
    if line["item_key"].startswith("plan:"):
        days = calendar.monthrange(line["service_from"].year, line["service_from"].month)[1]
        told = f"{money.plain(line['quantity'])} of {days} days x {money.plain(line['unit_price'])} a month"
        exact = money.EXACT.divide(money.EXACT.multiply(line["quantity"], line["unit_price"]), Decimal(days))
        agrees = abs(exact - line["amount_exact"]) < Decimal("0.000000000002")
        return told + _ends(line, line["amount_exact"], agrees, history)
    if not tiers:
        return f"no tier is entered{_ends(line, line['amount_exact'], line['amount_exact'] == 0, history)}"
    exact = sum((tier["amount_exact"] for tier in tiers), _ZERO)
    free = line["quantity"] - sum((tier["units"] for tier in tiers), _ZERO)
    first = ""
    if free > 0 and tiers[0]["pricing_model"] != "package":
        first = f"{money.plain(free)} of {money.plain(line['quantity'])} units are free; "
    elif tiers[0]["pricing_model"] == "package":
        first = f"{money.plain(line['quantity'])} units, free ones taken off, in packages; "
    return (
        first + " + ".join(_term(tier) for tier in tiers) + _ends(line, exact, exact == line["amount_exact"], history)
    )


def _term(tier: dict[str, Any]) -> str:
    price = money.plain(tier["unit_price"])
    fee = tier["flat_fee"] or _ZERO
    told = f"{money.plain(tier['units'])} x {price}"
    if fee:
        told += f" + {money.plain(fee)} flat"
    anew = money.EXACT.add(money.EXACT.multiply(tier["units"], tier["unit_price"]), fee)
    return told if anew == tier["amount_exact"] else f"{money.plain(tier['amount_exact'])} (tier {tier['tier']})"


def _ends(line: dict[str, Any], exact: Decimal, agrees: bool, history: list[dict[str, Any]]) -> str:
    """The sum, its rounding, and, where something was billed before, what that leaves to bill."""
    told = f" = {money.plain(exact)}"
    if not agrees:
        told += f" (DIFFERENCE: the line says {money.plain(line['amount_exact'])})"
    if not history:
        same = money.rounded(exact, line["currency"]) == line["amount"]
        return told + f" -> {line['amount']}" + ("" if same else f" (DIFFERENCE: {exact} is not rounded so)")
    before = sum((row["amount"] for row in history), _ZERO)
    total = sum((row["amount_exact"] for row in history), exact)
    now = money.rounded(total, line["currency"])
    rest = f"; in all {money.plain(total)} -> {now}, less {before} billed before = {line['amount']}"
    return told + rest + ("" if now - before == line["amount"] else f" (DIFFERENCE: it is {now - before})")


# -- the events behind a line ----------------------------------------------------------------------------------------


_BILLED = """
    select line_id, event_id, service_month, cast(sum(counts) as bigint) as counts
    from invoice_line_events
    where tenant_id = ? and invoice_date = ? and line_id in (select line_id from invoice_lines where invoice_id = ?)
    group by line_id, event_id, service_month having sum(counts) <> 0
"""
"""How each event counts in each line of an invoice: 1, or -1 where it is taken back."""

_NO_EVENTS = {"count": 0, "taken_back": 0, "sample": ()}


def _counted(connection: duckdb.DuckDBPyConnection, head: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """How many events each line of an invoice counts and takes back, and the first of them."""
    found = reading.rows(
        connection,
        "select line_id, cast(sum(case when counts > 0 then 1 else 0 end) as bigint) as count,"
        " cast(sum(case when counts < 0 then 1 else 0 end) as bigint) as taken_back,"
        f" min(event_id, {_SAMPLE}) as sample from ({_BILLED}) group by line_id",
        head["tenant_id"], head["date"], head["id"],
    )  # fmt: skip
    return {row.pop("line_id"): row for row in found}


def _billed_events(
    connection: duckdb.DuckDBPyConnection, head: dict[str, Any]
) -> dict[tuple[str, date], dict[str, int]]:
    """How each event (its id and service month) counts in each line of an invoice."""
    events: dict[tuple[str, date], dict[str, int]] = {}
    for row in reading.rows(connection, _BILLED, head["tenant_id"], head["date"], head["id"]):
        events.setdefault((row["event_id"], row["service_month"]), {})[row["line_id"]] = row["counts"]
    return events


def _events_in_words(told: dict[str, Any]) -> str:
    number = told["count"] + told["taken_back"]
    if not number:
        return "none; the flat fee of an item is owed without usage, too"
    taken = f", {told['taken_back']:,} taken back" if told["taken_back"] else ""
    more = ", ..." if number > len(told["sample"]) else ""
    return f"{told['count']:,} counted{taken}: {', '.join(told['sample'])}{more} (all with --events)"


def _events(
    settings: Settings, connection: duckdb.DuckDBPyConnection, head: dict[str, Any], lines: list[dict[str, Any]]
) -> Iterator[Part]:
    """The usage events of each item and service month, with what became of them, as known on the published night."""
    night = reading.rows(connection, "select night from data_as_of")[0]["night"]
    events = _usage_events(settings, connection, head["tenant_id"], night)
    billed = _billed_events(connection, head)
    place_of = {line["line_id"]: line["line"] for line in lines}
    for item, since, until in sorted({(line["item_key"], line["service_from"], line["service_to"]) for line in lines}):
        found = [
            event for event in events if event["driver_key"] == item and since <= event["occurred_at"].date() < until
        ]
        for event in found:
            on = billed.get((event["event_id"], _month(event)), {}) if event["status"] not in _COPIES else {}
            event["line"] = ", ".join(
                f"{place_of[line_id]}{'' if counts > 0 else ' (taken back)'}" for line_id, counts in on.items()
            )
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
        yield output.table(
            f"\nUsage events of {item}, {since} to {until} (excluded), as known on {night}",
            ("event", "occurred (UTC)", "received (UTC)", "quantity", "what became of it", "file", "file line",
             "line here"),
            [[*(event[column] for column in _EVENT_COLUMNS), event["line"] or None] for event in found],
        )  # fmt: skip
        agrees = (
            "which is what tenant_usage_daily holds"
            if counted == daily
            else f"DIFFERENCE: tenant_usage_daily holds {daily}"
        )
        here = [line for line in lines if (line["item_key"], line["service_from"]) == (item, since)]
        yield f"Counted: {counted} units, {agrees}; {sum(line['quantity'] for line in here)} of them are billed here."


# -- prices, payments, changes ---------------------------------------------------------------------------------------


def _price_sets(connection: duckdb.DuckDBPyConnection, lines: list[dict[str, Any]]) -> Iterator[Part]:
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
        yield output.table(
            "\nThe whole price sets of these lines, as they are listed now",
            list(rows[0]), [list(row.values()) for row in rows],
            caption="A month keeps the prices known when it was first billed, whatever is listed since.",
        )  # fmt: skip


def _settlement(connection: duckdb.DuckDBPyConnection, head: dict[str, Any]) -> dict[str, Any]:
    """Notes opened by an invoice, and what has been put towards it: payments and uses of credit notes."""
    return {
        "credit_notes_opened": reading.rows(
            connection, "select id, amount, amount_left from credit_notes where invoice_id = ? order by id", head["id"]
        ),
        "settled": reading.rows(
            connection,
            "select date, night, payment_id, credit_note_id, cast(credit - debit as decimal(18, 2)) as amount"
            " from ledger_entries where invoice_id = ? and account = 'receivable'"
            " and (payment_id is not null or credit_note_id is not null) order by night, date, payment_id",
            head["id"],
        ),
    }


def _settled(found: dict[str, Any]) -> Iterator[Part]:
    head = found["invoice"]
    currency = head["currency"]
    yield ""
    for note in found["credit_notes_opened"]:
        yield (
            f"Credit note {note['id']} opened here: {note['amount']} {currency}, {note['amount_left']} of it unused."
        )
    for row in found["settled"]:
        what = f"payment {row['payment_id']}" if row["payment_id"] else f"credit note {row['credit_note_id']}"
        yield f"{row['date']}: {what}, {row['amount']} {currency}."
    paid = sum((row["amount"] for row in found["settled"]), _ZERO)
    if head["amount"] - paid == head["balance"]:
        left = f"{head['balance']} left, so {head['status']}"
        yield f"Paid by payments and credit notes so far: {paid} {currency}; {left}."
    else:
        yield f"DIFFERENCE: {paid} {currency} are paid, but the balance is {head['balance']}."


def _changes(
    connection: duckdb.DuckDBPyConnection, head: dict[str, Any], lines: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """What changed against the tenant's invoice before in the same currency; None for the first one."""
    before = reading.rows(
        connection,
        "select id, date, amount from invoices where tenant_id = ? and currency = ? and date < ?"
        " order by date desc limit 1",
        head["tenant_id"], head["currency"], head["date"],
    )  # fmt: skip
    if not before:
        return None

    def prices_of(line: invoice_changes.Line) -> list[price_sets.Tier]:
        return price_sets.in_order(
            reading.rows(
                connection,
                "select p.* from price_entries as p join price_entries as q on q.id = ? and p.price_book = q.price_book"
                " and p.item_key = q.item_key and p.valid_from = q.valid_from",
                line["price_entry_id"],
            )
        )

    changes = invoice_changes.split(_lines(connection, before[0]["id"]), lines, prices_of)
    return {
        "before": before[0],
        "difference": head["amount"] - before[0]["amount"],
        "effects": invoice_changes.totals(changes),
        "items": [asdict(change) for change in changes],
    }


def _changed(found: dict[str, Any]) -> Iterator[Part]:
    head, changes = found["invoice"], found["changes"]
    currency = head["currency"]
    if changes is None:
        yield f"\nThis is the first invoice of {head['tenant_slug']} in {currency}: none before to compare with."
        return
    before = changes["before"]
    yield output.table(
        f"\nWhat changed against {before['id']} of {before['date']}: {before['amount']} -> {head['amount']} {currency},"
        f" {money.signed(changes['difference'], currency)}",
        ("effect", "item", "amount", "why"),
        [
            (change["effect"], change["item_key"], money.signed(change["amount"], currency), change["words"])
            for change in changes["items"]
        ],
    )
    told = ", ".join(
        f"{effect} {money.signed(amount, currency)}" for effect, amount in changes["effects"].items() if amount
    )
    total = sum(changes["effects"].values(), _ZERO)
    if total == changes["difference"]:
        together = f"{money.signed(total, currency)} {currency}"
        yield f"In all: {told or 'nothing'}; together {together}, the difference exactly."
    else:
        yield f"DIFFERENCE: the effects add up to {total} {currency}, the amounts differ by {changes['difference']}."


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


# Which responses touch which topic, by where the topics of a survey come from.
_TOUCHED = {
    "platform": "select survey_id, response_id, topic_id from survey_topics",
    "text": "select null as survey_id, entity_id as response_id, topic_id from topic_assignments"
    " where entity_type = 'survey_response'",
}


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
    touched = _TOUCHED[found["topic_source"]]
    scored = reading.rows(
        connection,
        f"""
        select s.response_id, s.overall_score, max(case when t.topic_id is not null then 1 else 0 end) as touches
        from survey_sentiment as s
        left join ({touched}) as t
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
        table = "survey_topics" if found["topic_source"] == "platform" else "topic_assignments"
        yield f"Added anew from survey_sentiment and {table}: {told}."
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
