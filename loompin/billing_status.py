"""How billing stands, for the operator: what became final, what the running month holds, what is not billed and why.

Read from the published file alone, so that it can be asked while a night runs. What a month holds is dbt's affair; a
file that was published before a table of billing existed tells what it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb
from rich.console import Group

from loompin import money, output, reading
from loompin.settings import Settings

Part = str | Group

_NEEDED = frozenset(("billing_certificate", "invoice_drafts", "invoices"))
_MONTHS_SHOWN = 2


@dataclass(frozen=True)
class Billing:
    """How billing stands on the published night; rows of queries, amounts by currency.

    `final` are the invoices dated after a night and by the published one, one row a date and currency; `drafts` what
    the invoices of `closes_on` would hold if nothing more became known; `owed` what is unpaid; `unbilled` the usage
    that is held back, by rule, with its cost in US dollars; `certificate` what became of the usage of the last months.
    """

    night: date
    closes_on: date
    final: list[dict[str, Any]]
    drafts: list[dict[str, Any]]
    owed: list[dict[str, Any]]
    unbilled: list[dict[str, Any]]
    certificate: list[dict[str, Any]]


def read(settings: Settings, since: date | None = None) -> Billing | None:
    """How billing stands; None if the published file holds no billing.

    Args:
        settings: the home.
        since: the completed night after whose end invoices count as `final`; all if there was none.
    """
    with reading.published(settings) as connection:
        found = {row["table_name"] for row in reading.rows(connection, "select table_name from duckdb_tables()")}
        if not found >= _NEEDED:
            return None
        night = reading.rows(connection, "select night from data_as_of")[0]["night"]
        return Billing(
            night=night,
            closes_on=(night.replace(day=1) + timedelta(days=32)).replace(day=1),
            final=_final(connection, since or date.min),
            drafts=reading.rows(
                connection,
                "select currency, count(*) as invoices, sum(amount) as amount, cast(sum(events) as bigint) as events"
                " from invoice_drafts group by currency order by currency",
            ),
            owed=reading.rows(
                connection,
                "select currency, status, count(*) as invoices, sum(balance) as balance from invoices"
                " where balance > 0 group by currency, status order by currency, status",
            ),
            unbilled=reading.rows(
                connection,
                "select rule, cast(sum(events) as bigint) as events, sum(cost) as cost, min(service_month) as first,"
                " max(service_month) as last from billing_certificate where outcome = 'quarantined'"
                " group by rule order by sum(cost) desc nulls last, rule",
            ),
            certificate=reading.rows(
                connection,
                "select service_month, outcome, currency, cast(sum(events) as bigint) as events, sum(cost) as cost,"
                " sum(price) as price from billing_certificate where service_month > cast(? as date) - to_months(?)"
                " and service_month <= ?"
                " group by service_month, outcome, currency"
                " order by service_month, case outcome when 'received' then 0 when 'billed' then 1"
                " when 'not_yet_billed' then 2 else 3 end, outcome, currency",
                night.replace(day=1), _MONTHS_SHOWN, night,
            ),
        )  # fmt: skip


def _final(connection: duckdb.DuckDBPyConnection, since: date) -> list[dict[str, Any]]:
    return reading.rows(
        connection,
        "select date, currency, count(*) as invoices, sum(amount) as amount,"
        " arg_min(id, (length(id), id)) as first, arg_max(id, (length(id), id)) as last"
        " from invoices where date > ? group by date, currency order by date, currency",
        since,
    )


def night(settings: Settings, since: date | None) -> Iterator[Part]:
    """What a night that was published means to billing, and what to do next.

    Args:
        settings: the home.
        since: the completed night before it, None if it was the first.
    """
    found = read(settings, since)
    if found is None:
        return
    if found.final:
        yield output.table(
            "\nInvoices that became final", ("date", "currency", "invoices", "first", "last", "amount"),
            [
                (row["date"], row["currency"], row["invoices"], row["first"], row["last"],
                 money.written(row["amount"], row["currency"]))
                for row in found.final
            ],
            caption=f"Their PDFs: {settings.invoices}/<number>.pdf",
        )  # fmt: skip
    else:
        yield f"\nNo invoice became final; the next ones are dated {found.closes_on}."
    yield from _unbilled(found)
    yield "Next:"
    if found.final:
        number = max((row["last"] for row in found.final), key=lambda last: (len(last), last))
        yield f"  loompin explain invoice {number}: where each cent comes from, and what changed since the one before"
        yield f"  loompin reproduce {number}: derive it again from the record, and compare"
    yield "  loompin status: drafts of the running month, what is owed, the next close"


def status(settings: Settings) -> Iterator[Part]:
    """How billing stands: drafts, the next close, what is owed, what is not billed, and the certificate."""
    found = read(settings)
    if found is None:
        return
    yield (
        f"\nBilling: the next invoices are dated {found.closes_on}. They become final with the night of that date"
        f" (loompin nightly --date {found.closes_on}, when that day has ended, UTC); until then they are drafts."
    )
    if found.drafts:
        yield output.table(
            f"\nDrafts of {found.closes_on}, as known on {found.night}",
            ("currency", "invoices", "amount so far", "usage events"),
            [
                (row["currency"], row["invoices"], money.written(row["amount"], row["currency"]), row["events"])
                for row in found.drafts
            ],
            caption='One by one: loompin sql "select * from invoice_drafts"; their lines: invoice_draft_lines',
        )  # fmt: skip
    else:
        yield "No drafts: nothing is to be billed so far."
    if found.owed:
        yield output.table(
            "\nOwed", ("currency", "status", "invoices", "left to pay"),
            [
                (row["currency"], row["status"], row["invoices"], money.written(row["balance"], row["currency"]))
                for row in found.owed
            ],
        )  # fmt: skip
    yield from _unbilled(found)
    if found.certificate:
        yield output.table(
            "\nCertificate: what became of the usage of each month",
            ("month", "outcome", "events", "cost (USD)", "price", "currency"),
            [
                (f"{row['service_month']:%Y-%m}", row["outcome"].replace("_", " "), row["events"], _cost(row["cost"]),
                 None if row["price"] is None else money.written(row["price"], row["currency"]), row["currency"])
                for row in found.certificate
            ],
            caption="All months: loompin sql \"select * from billing_certificate\"; margins by tenant: billing_margins",
        )  # fmt: skip


def _unbilled(found: Billing) -> Iterator[Part]:
    if not found.unbilled:
        yield "Usage that is not billed: none."
        return
    rows = [
        (row["rule"], row["events"], _cost(row["cost"]), _span(row["first"], row["last"]), _WHAT_TO_DO.get(row["rule"]))
        for row in found.unbilled
    ]
    yield output.table(
        "\nUsage that is not billed, by the rule that holds it back",
        ("rule", "events", "cost (USD)", "months", "what to do"),
        rows,
        caption="One by one: loompin sql \"select * from quarantine where table_name = 'usage_events'\"",
    )


_WHAT_TO_DO = {
    "unpriced": "give the item a price that is valid on the day, in a book that the tenant may use",
    "no_subscription": "add the subscription that covers the day",
    "unknown_tenant": "add the tenant, or correct its id in the file",
    "unknown_driver": "add the driver to cost_drivers",
    "bad_quantity": "correct the quantity in the file",
    "future_event": "correct occurred_at or received_at in the file",
    "duplicate_conflict": "the first known event of this id counts; give the other an id of its own",
    "cancels_nothing": "it counts as soon as the event that it names is known",
    "cancels_itself": "name the event to cancel",
    "already_cancelled": "nothing; its event is cancelled already",
}


def _span(first: date | None, last: date | None) -> str | None:
    if first is None or last is None:
        return None
    return f"{first:%Y-%m}" if first == last else f"{first:%Y-%m} to {last:%Y-%m}"


def _cost(cost: Any) -> str | None:
    return None if cost is None else money.plain(cost)
