"""Many books of business in one warehouse: landed, billed by the models, and held against the clerk, book by book."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

from billing_models import Book

from rater.books import Business
from rater.clerk import Bills, Line, bill, numbered
from rater.money import Accounts, settle
from rater.record import TWO_DECIMALS, Arrived

OWN = tuple(code for code in TWO_DECIMALS if code not in ("USD", "EUR", "CHF"))
MOST = len(OWN)
KEYS = {"usage_events": "event_id", "subscriptions": "id", "payments": "id"}
COLUMNS = {
    "tenants": "id name plan status region slug received_at",
    "plans": "name price_monthly max_users features received_at",
    "cost_drivers": "driver_key category unit_cost unit_label received_at",
    "subscriptions": (
        "id tenant_id plan currency started_on ended_on net_terms_days minimum_commitment received_at"
    ),
    "price_books": "name currency is_active priority received_at",
    "price_entries": (
        "id price_book item_key pricing_model tier_up_to unit_price flat_fee package_size free_units valid_from"
        " valid_to received_at"
    ),
    "price_book_assignments": "tenant_id price_book valid_from valid_to received_at",
    "usage_events": "event_id tenant_id driver_key quantity occurred_at received_at cancels_event_id",
    "payments": "id invoice_id amount currency paid_at received_at",
}  # fmt: skip
Facts = dict[str, Counter[Any]]
When = Callable[[str, dict[str, str]], date]


def prefixed(business: Business, place: int) -> Business:
    """The same book with names and a currency of its own."""
    prefix = f"b{place:04d}_"

    def own(value: str) -> str:
        return OWN[place % MOST] if value == "OWN" else value.replace("§", prefix)

    return Business([(table, {c: own(v) for c, v in values.items()}) for table, values in business.rows])


@dataclass
class Batch:
    """Books with the nights on which their rows come, and what the clerk makes of them."""

    businesses: list[Business]
    nights: list[date]
    when: When
    rows: list[list[Arrived]] = field(init=False)
    bills: list[Bills] = field(init=False)

    def __post_init__(self) -> None:
        assert len(self.businesses) <= MOST
        own = [prefixed(business, place) for place, business in enumerate(self.businesses)]
        self.rows = [business.arrived(self.when) for business in own]
        self.bills = [bill(rows, self.nights) for rows in self.rows]
        self._name_invoices()

    def _name_invoices(self) -> None:
        """Give the invoices that payments name their numbers in the whole warehouse."""
        for place, bills in enumerate(self.bills):
            mine = numbered([bills])
            every = (
                numbered(self.bills) if any("#" in row.values.get("invoice_id", "") for row in self.rows[place]) else []
            )
            order = {id(invoice): n for n, invoice in enumerate(every, 1)}
            notes = {id(invoice): n for n, invoice in enumerate((i for i in every if i.credited), 1)}
            names = {f"INV#{n}": f"INV-24-{order[id(i)]:03d}" for n, i in enumerate(mine, 1) if every}
            own = [invoice for invoice in mine if invoice.credited]
            names |= {f"CN#{n}": f"CN-24-{notes[id(i)]:03d}" for n, i in enumerate(own, 1) if every}
            renamed = []
            for row in self.rows[place]:
                named = row.values.get("invoice_id", "")
                text = names.get(named, "INV-24-99999") if "#" in named else named
                renamed.append(Arrived(row.table, {**row.values, "invoice_id": text}, row.night) if named else row)
            self.rows[place] = renamed
            for known, row in zip(bills.record.payments, (r for r in renamed if r.table == "payments"), strict=True):
                known.values["invoice_id"] = row.values["invoice_id"]  # type: ignore[index]

    def write(self, book: Book, night: date, shuffle: Callable[[list[dict[str, str]]], None] | None = None) -> None:
        """Write the rows that come on a night, a file a table."""
        found: dict[str, list[dict[str, str]]] = defaultdict(list)
        for rows in self.rows:
            for row in rows:
                if row.night == night:
                    found[row.table].append({c: row.values.get(c, "") for c in COLUMNS[row.table].split()})
        for table, values in found.items():
            if shuffle:
                shuffle(values)
            book.write(f"{table}/{night}.csv", values)

    def expected(self) -> list[Facts]:
        """What the clerk says of each book."""
        accounts = settle(numbered(self.bills), [p for b in self.bills for p in b.record.payments], self.nights[-1])
        return [_told_by_clerk(bills, accounts, place, self.nights[-1]) for place, bills in enumerate(self.bills)]


def found(book: Book, count: int) -> list[Facts]:
    """What the models say of each book."""
    facts: list[Facts] = [defaultdict(Counter) for _ in range(count)]

    def put(what: str, name: str, fact: tuple[Any, ...]) -> None:
        facts[int(name[1:5])][what][fact] += 1

    lines = {
        row["line_id"]: row for row in book.ask(
            "select l.*, i.date as invoice_date from invoice_lines as l left join invoices as i on i.id = l.invoice_id"
        )
    }  # fmt: skip
    for row in lines.values():
        first = lines.get(row["corrects_line_id"])
        put("lines", row["tenant_slug"], (
            row["tenant_slug"], row["currency"], row["invoice_date"], row["line_type"], row["item_key"],
            row["service_from"], row["service_to"], _exact(row["quantity"]), _exact(row["unit_price"]),
            _near(row["amount_exact"]), _exact(row["amount"]),
            row["price_book"], row["price_entry_id"],
            (first["invoice_date"], first["line_type"]) if first else row["corrects_line_id"],
        ))  # fmt: skip
    for row in book.ask("select * from invoice_line_tiers"):
        line = lines[row["line_id"]]
        fact = (_exact(row["units"]), _exact(row["amount_exact"]))
        if any(fact):
            place = (
                line["tenant_slug"],
                line["currency"],
                line["invoice_date"],
                line["item_key"],
                line["service_from"],
            )
            put("tiers", line["tenant_slug"], (*place, line["price_entry_id"], row["tier"], *fact))
    for row in book.ask("select * from invoices"):
        put("invoices", row["tenant_slug"], (
            row["tenant_slug"], row["currency"], row["date"], row["due_date"], _exact(row["amount"])
        ))  # fmt: skip
        put("balances", row["tenant_slug"], (row["id"], row["date"], row["status"], _exact(row["balance"])))
    for row in book.ask("select * from credit_notes"):
        put("notes", row["tenant_slug"], (row["id"], row["date"], _exact(row["amount"]), _exact(row["amount_left"])))
    for table, key in KEYS.items():
        for row in book.ask(f"select row_json->>'{key}' as key, rule from quarantine where table_name = '{table}'"):
            put("payments" if table == "payments" else "refused", row["key"], (table, row["key"], row["rule"]))
    for row in book.ask("select * from tenant_usage_daily"):
        put("daily", row["tenant_slug"], (
            row["tenant_slug"], row["usage_date"], row["driver_key"], _exact(row["quantity"]), _exact(row["cost"]),
            row["events"],
        ))  # fmt: skip
    return facts


def _exact(value: Any) -> Fraction | None:
    return None if value is None else Fraction(str(value))


def _near(value: Any) -> Fraction | None:
    """To 9 decimals: the models keep 12, and a difference of two such amounts may be off in the last one."""
    return None if value is None else Fraction(round(Fraction(str(value)) * 10**9), 10**9)


def _told_by_clerk(bills: Bills, accounts: Accounts, place: int, night: date) -> Facts:
    facts: Facts = defaultdict(Counter)
    for line in bills.lines:
        facts["lines"][_line(line, bills)] += 1
        date_ = line.invoice.date if line.invoice else None
        for tier, share in line.tiers.items():
            place_ = (bills.slugs[line.tenant], line.currency, date_, line.item_key, line.service_from)
            facts["tiers"][*place_, line.price_entry_id, tier, *share] += 1
    for number, invoice in accounts.numbers.items():
        if invoice in bills.invoices:
            facts["invoices"][invoice.slug, invoice.currency, invoice.date, invoice.due, invoice.amount] += 1
            status = accounts.status(number, night)
            facts["balances"][number, invoice.date, status, accounts.balances[number]] += 1
    for note in accounts.notes.values():
        if note.invoice in bills.invoices:
            facts["notes"][note.number, note.invoice.date, note.invoice.credited, note.left] += 1
    mine = [row for row in accounts.refused if row.key.startswith(f"b{place:04d}_")]
    for row in (*bills.refused, *mine):
        facts["payments" if row.table == "payments" else "refused"][row.table, row.key, row.rule] += 1
    for (tenant, day, driver), (quantity, cost, events) in bills.daily.items():
        facts["daily"][bills.slugs[tenant], day, driver, quantity, cost, events] += 1
    return facts


def _line(line: Line, bills: Bills) -> tuple[Any, ...]:
    first = line.corrects
    return (
        bills.slugs[line.tenant], line.currency, line.invoice.date if line.invoice else None, line.line_type,
        line.item_key, line.service_from, line.service_to, line.quantity, line.unit_price,
        _near(line.amount_exact), line.amount, line.price_book,
        line.price_entry_id, (first.invoice.date if first.invoice else None, first.line_type) if first else None,
    )  # fmt: skip


def differences(expected: Sequence[Facts], got: Sequence[Facts]) -> dict[int, list[str]]:
    """By book, what only one of the two says; balances and notes hang on numbers, so only if all lines agree."""
    told: dict[int, list[str]] = {}
    for kinds in (("lines", "tiers", "invoices", "refused", "daily"), ("payments", "balances", "notes")):
        for place, (clerk, models) in enumerate(zip(expected, got, strict=True)):
            for kind in kinds:
                only = [
                    ("clerk ", *_sorted(clerk[kind] - models[kind])),
                    ("models", *_sorted(models[kind] - clerk[kind])),
                ]
                for who, *facts in only:
                    for fact in facts:
                        told.setdefault(place, []).append(f"{kind}: only {who}: {_plain(fact)}")
        if told:
            break
    return told


def _sorted(facts: Counter[Any]) -> list[Any]:
    return sorted(facts.elements(), key=str)


def _plain(fact: tuple[Any, ...]) -> str:
    return " | ".join(str(float(v)) if isinstance(v, Fraction) else str(v) for v in fact)
