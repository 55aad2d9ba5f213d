"""The clerk: closes one month after the other, each time works out what every month should cost by now, and bills the
difference to what was billed before.

The only memory is what stands on earlier lines, and which price was decided on for a day or a fee.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from rater.prices import Prices, PriceSet, rounded
from rater.record import Arrived, Record, Refused, latest, read
from rater.state import DAY, Coverage, next_month, subscriptions, usage

ZERO = Fraction(0)
Day = date
Tiers = dict[int, tuple[Fraction, Fraction]]
Price = tuple[Fraction, str | None, str | None]


@dataclass(eq=False)
class Line:
    """A line of an invoice dated `date`; `corrects` is the line that first billed the same."""

    tenant: str
    currency: str
    date: Day
    line_type: str
    item_key: str
    service_from: Day
    service_to: Day
    quantity: Fraction
    unit_price: Fraction | None
    amount_exact: Fraction
    amount: Fraction
    price_book: str | None = None
    price_entry_id: str | None = None
    corrects: Line | None = None
    tiers: Tiers = field(default_factory=dict)
    events: frozenset[int] = frozenset()
    invoice: Invoice | None = None


@dataclass(eq=False)
class Invoice:
    """An invoice; `credited` opens a credit note."""

    tenant: str
    slug: str
    currency: str
    date: Day
    due: Day
    lines: list[Line]
    amount: Fraction
    credited: Fraction = ZERO


@dataclass
class _Billed:
    """What stands on lines for one thing and month."""

    first: Line | None = None
    quantity: Fraction = ZERO
    exact: Fraction = ZERO
    amount: Fraction = ZERO
    days: frozenset[date] = frozenset()
    events: frozenset[int] = frozenset()
    tiers: Tiers = field(default_factory=dict)


@dataclass
class _Use:
    """What one item costs a tenant in a month under one set."""

    quantity: Fraction = ZERO
    events: set[int] = field(default_factory=set)


@dataclass
class Bills:
    """What came out: invoices in the order of their numbers, all lines, and what does not count."""

    slugs: dict[str, str]
    invoices: list[Invoice]
    lines: list[Line]
    refused: list[Refused]
    daily: dict[tuple[str, date, str], tuple[Fraction, Fraction | None, int]]
    record: Record


def bill(rows: Sequence[Arrived], nights: Sequence[date]) -> Bills:
    """Close every month up to the last night that was run."""
    return Clerk(read(rows, nights)).run()


class Clerk:
    """One pass over the months."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.billed: dict[tuple[object, ...], _Billed] = defaultdict(_Billed)
        self.sets: dict[tuple[str, str, str, date], PriceSet] = {}
        self.fees: dict[tuple[object, ...], Price] = {}
        self.prices_at: dict[date, Prices] = {}
        self.fee_close: dict[tuple[str, str, date], date] = {}
        self.usage_close: dict[tuple[str, str, date], date] = {}
        self.tried: dict[tuple[str, str, str, date], date] = {}
        self.set_close: dict[tuple[str, str, str, date], date] = {}
        self.usage_keys: dict[tuple[str, date], set[tuple[str, PriceSet]]] = defaultdict(set)
        self.fee_keys: dict[date, set[tuple[str, str, str, str]]] = defaultdict(set)
        self.minimum_keys: dict[date, set[tuple[str, str]]] = defaultdict(set)
        self.lines: list[Line] = []
        self.invoices: list[Invoice] = []

    def run(self) -> Bills:
        """Close months in their order; then look at the running month for what could not be billed."""
        last = self.record.last
        close = self._first_month()
        while close <= last:
            self._close(close, close)
            close = next_month(close)
        refused = self._look(last, close)
        return Bills(self.record.slugs, self.invoices, self.lines, refused, self._daily(), self.record)

    def _first_month(self) -> date:
        starts = [date.fromisoformat(v["started_on"]) for rows in self.record.subscriptions.values() for v in rows]
        return min([*starts, *(event.month for event in self.record.events), self.record.last]).replace(day=1)

    def _learn(self, cut: date, close: date) -> None:
        self.prices = self.prices_at[close] = Prices(self.record, cut)
        accepted, self.overlapping = subscriptions(self.record, cut)
        self.coverage = Coverage(accepted, close)
        self.counted, self.cancelled, self.conflicts = usage(self.record, cut)

    def _months(self, close: date) -> list[date]:
        month, found = self._first_month(), []
        while month <= close:
            found.append(month)
            month = next_month(month)
        return found

    def _close(self, cut: date, close: date) -> None:
        self._learn(cut, close)
        written: list[Line] = []
        months = self._months(close)
        for month in months:
            written += self._fee_lines(month, close)
        for month in months[:-1]:
            self._decide_prices(month, close)
            written += self._usage_lines(month, close)
            written += self._minimum_lines(month, close)
        self.lines += written
        self._invoice(written, close)

    # -- plan fees -------------------------------------------------------------------------------------------------

    def _fee_lines(self, month: date, close: date) -> list[Line]:
        now: dict[tuple[str, str, str, str], list[date]] = {}
        for sub in self.coverage.started:
            covered = self.coverage.span(sub, month)
            if covered:
                now[sub.tenant, sub.number, sub.plan, sub.currency] = covered
        self.fee_keys[month] |= now.keys()
        lines = (self._fee_line(key, frozenset(now.get(key, [])), month, close) for key in sorted(self.fee_keys[month]))
        return [line for line in lines if line]

    def _fee_line(
        self, key: tuple[str, str, str, str], covered: frozenset[date], month: date, close: date
    ) -> Line | None:
        tenant, number, plan, currency = key
        if covered and (*key, month) not in self.fees:
            since = self.fee_close.setdefault((tenant, number, month), close)
            for prices in self._prices(since, close):
                found = prices.plan(tenant, currency, plan, min(covered))
                if found:
                    self.fees[*key, month] = found
                    break
        if (*key, month) not in self.fees:
            return None
        price, book, entry = self.fees[*key, month]
        length = (next_month(month) - month).days
        exact = price * len(covered) / length
        billed = self.billed["fee", *key, month]
        amount = rounded(exact, currency) - billed.amount
        if amount == 0:
            return None
        changed = covered ^ billed.days
        line = Line(
            tenant, currency, close, "subscription" if month == close else "proration", f"plan:{plan}",
            min(changed), max(changed) + DAY, Fraction(len(covered) - len(billed.days)), price, exact - billed.exact,
            amount, book, entry,
        )  # fmt: skip
        billed.days = covered
        return self._write(line, billed)

    def _prices(self, since: date, close: date) -> list[Prices]:
        """What was known at each close from one on: a month's prices are those of the first that could bill it."""
        return [self.prices_at[then] for then in sorted(self.prices_at) if since <= then <= close]

    def _write(self, line: Line, billed: _Billed) -> Line:
        line.corrects = billed.first
        billed.first = billed.first or line
        billed.quantity += line.quantity
        billed.exact += line.amount_exact
        billed.amount += line.amount
        return line

    # -- usage -----------------------------------------------------------------------------------------------------

    def _decide_prices(self, month: date, close: date) -> None:
        """Decide on the sets of all days of a month that could not be billed before, or had no price."""
        for tenant, subs in self.coverage.by_tenant.items():
            for sub in subs:
                for day in self.coverage.span(sub, month):
                    since = self.usage_close.setdefault((tenant, sub.number, month), close)
                    for item in self.prices.items:
                        if (tenant, sub.currency, item, day) not in self.sets:
                            self._decide_price(tenant, sub.currency, item, day, since)

    def _decide_price(self, tenant: str, currency: str, item: str, day: date, since: date) -> None:
        key = (tenant, currency, item, day)
        since = self.tried.get(key, since)
        for then in sorted(self.prices_at):
            if then >= since and key not in self.sets:
                chosen = self.prices_at[then].choose(tenant, currency, item, day)[1]
                if chosen:
                    self.sets[key] = chosen
                    self.set_close[key] = then
        self.tried[key] = max(self.prices_at)

    def _uses(self, month: date) -> dict[str, dict[tuple[str, PriceSet], _Use]]:
        """Usage of a month that counts, is subscribed and priced, by tenant, currency and set."""
        found: dict[str, dict[tuple[str, PriceSet], _Use]] = defaultdict(lambda: defaultdict(_Use))
        for event in self.counted:
            sub = self.coverage.on(event.tenant, event.day) if event.month == month else None
            chosen = self.sets.get((event.tenant, sub.currency, event.driver, event.day)) if sub else None
            if sub and chosen:
                use = found[event.tenant][sub.currency, chosen]
                use.quantity += event.quantity
                use.events.add(id(event))
        return found

    def _idle_fees(self, tenant: str, month: date, used: set[str]) -> set[tuple[str, PriceSet]]:
        """Sets whose flat fee is owed though their item was not used."""
        covered = [day for sub in self.coverage.by_tenant[tenant] for day in self.coverage.span(sub, month)]
        if not covered:
            return set()
        day = max(covered)
        sub = self.coverage.on(tenant, day)
        assert sub
        found = set()
        for item in self.prices.items - used:
            key = (tenant, sub.currency, item, day)
            in_time = self.set_close.get(key, date.max) <= self.usage_close[tenant, sub.number, month]
            if in_time and self.sets[key].cost(ZERO):
                found.add((sub.currency, self.sets[key]))
        return found

    def _usage_lines(self, month: date, close: date) -> list[Line]:
        uses = self._uses(month)
        lines = []
        for tenant in self.record.slugs:
            mine = uses[tenant]
            idle = self._idle_fees(tenant, month, {chosen.item for _, chosen in mine})
            known = self.usage_keys[tenant, month]
            known |= mine.keys() | idle
            for key in sorted(known, key=lambda k: (k[0], k[1].item, k[1].book, k[1].valid_from)):
                line = self._usage_line(tenant, month, close, key, mine.get(key), idle=key in idle)
                lines += [line] if line else []
        return lines

    def _usage_line(
        self, tenant: str, month: date, close: date, key: tuple[str, PriceSet], use: _Use | None, *, idle: bool
    ) -> Line | None:
        currency, price = key
        billed = self.billed["usage", tenant, month, *key]
        tiers = price.shares(use.quantity if use else ZERO) if use or idle else {}
        exact = sum((amount for _, amount in tiers.values()), ZERO)
        quantity = (use.quantity if use else ZERO) - billed.quantity
        amount = rounded(exact, currency) - billed.amount
        events = frozenset(use.events if use else ())
        if not (quantity or amount or len(events) - len(billed.events) or events - billed.events):
            return None
        line = Line(
            tenant, currency, close, "usage" if close == next_month(month) else "adjustment", price.item, month,
            next_month(month), quantity, price.tiers[0].unit_price if price.model == "per_unit" else None,
            exact - billed.exact, amount, price.book, price.tiers[0].entry, events=events - billed.events,
            tiers=_difference(tiers, billed.tiers),
        )  # fmt: skip
        billed.events, billed.tiers = events, tiers
        return self._write(line, billed)

    # -- minimum ---------------------------------------------------------------------------------------------------

    def _minimum_lines(self, month: date, close: date) -> list[Line]:
        owed: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        covered: dict[tuple[str, str], set[date]] = defaultdict(set)
        for sub in self.coverage.started:
            inside = self.coverage.span(sub, month)
            if inside and sub.commitment > 0:
                owed[sub.tenant, sub.currency] += sub.commitment * len(inside) / (next_month(month) - month).days
                covered[sub.tenant, sub.currency] |= set(inside)
        self.minimum_keys[month] |= owed.keys()
        lines = []
        for tenant, currency in sorted(self.minimum_keys[month]):
            used = sum(
                (self.billed["usage", tenant, month, *key].amount
                 for key in self.usage_keys[tenant, month] if key[0] == currency), ZERO,
            )  # fmt: skip
            rest = max(ZERO, rounded(owed[tenant, currency], currency) - used)
            billed = self.billed["minimum", tenant, currency, month]
            billed.days = frozenset(covered[tenant, currency]) or billed.days
            if rest != billed.amount:
                line = Line(
                    tenant, currency, close, "minimum" if close == next_month(month) else "adjustment", "minimum",
                    min(billed.days), max(billed.days) + DAY, Fraction(1), None, rest - billed.amount,
                    rest - billed.amount,
                )  # fmt: skip
                lines.append(self._write(line, billed))
        return lines

    # -- invoices --------------------------------------------------------------------------------------------------

    def _invoice(self, written: list[Line], close: date) -> None:
        grouped: dict[tuple[str, str, str], list[Line]] = defaultdict(list)
        for line in written:
            grouped[self.record.slugs[line.tenant], line.currency, line.tenant].append(line)
        for (slug, currency, tenant), lines in sorted(grouped.items(), key=lambda told: told[0]):
            if not any(line.amount for line in lines):
                continue
            total = sum((line.amount for line in lines), ZERO)
            due = close + timedelta(days=self.coverage.terms(tenant, currency, close))
            invoice = Invoice(tenant, slug, currency, close, due, lines, max(ZERO, total))
            if total < 0:
                invoice.credited = -total
                credit = Line(
                    tenant, currency, close, "credit", "credit_note", close, close, Fraction(1), None, -total, -total
                )
                self.lines.append(credit)
                lines.append(credit)
            for line in lines:
                line.invoice = invoice
            self.invoices.append(invoice)

    # -- what does not count ---------------------------------------------------------------------------------------

    def _look(self, last: date, close: date) -> list[Refused]:
        """Rows that do not count at the end of a night, as the next close would see them."""
        self._learn(last, close)
        for month in self._months(close)[:-1]:
            self._decide_prices(month, close)
        found = [told for since, told in self.record.refused if since <= last]
        found += self.conflicts
        found += [Refused("subscriptions", number, "subscription_overlap") for number in self.overlapping]
        for event in self.counted:
            sub = self.coverage.on(event.tenant, event.day)
            if sub is None:
                found.append(Refused("usage_events", event.number, "no_subscription"))
            elif event.month < close and (event.tenant, sub.currency, event.driver, event.day) not in self.sets:
                found.append(Refused("usage_events", event.number, "unpriced"))
        return found

    def _daily(self) -> dict[tuple[str, date, str], tuple[Fraction, Fraction | None, int]]:
        """Quantity, cost and count of events by tenant, day and driver."""
        found: dict[tuple[str, date, str], tuple[Fraction, Fraction | None, int]] = {}
        for event in self.counted:
            key = (event.tenant, event.day, event.driver)
            before = found.get(key, (ZERO, None, 0))
            quantity = before[0] + event.quantity
            rows = [row for row in self.record.drivers[event.driver] if row.since <= self.record.last]
            row = latest(rows, event.day) or min(rows, key=lambda row: (row.since, row.received))
            found[key] = (quantity, quantity * Fraction(row["unit_cost"]), before[2] + 1)
        return found


def _difference(now: Tiers, before: Tiers) -> Tiers:
    none = (ZERO, ZERO)
    found = {
        tier: (now.get(tier, none)[0] - before.get(tier, none)[0], now.get(tier, none)[1] - before.get(tier, none)[1])
        for tier in now.keys() | before.keys()
    }
    return {tier: share for tier, share in found.items() if any(share)}


def numbered(books: Sequence[Bills]) -> list[Invoice]:
    """The invoices of many books in the order of one sequence of numbers."""
    return sorted((i for bills in books for i in bills.invoices), key=lambda i: (i.date, i.slug, i.currency))
