"""What a clerk holds to be true at the end of a night: which usage counts, who is subscribed to what on which day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from rater.record import Event, Known, Record, Refused, day_of, latest

DAY = timedelta(days=1)


def next_month(day: date) -> date:
    """The first day of the month after that of a day."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def days(start: date, end: date) -> Iterator[date]:
    """Days from a first one to before another."""
    while start < end:
        yield start
        start += DAY


def usage(record: Record, cut: date) -> tuple[list[Event], list[Event], list[Refused]]:
    """Uses that count, uses that were cancelled, and rows refused as conflicts or as cancellations of nothing."""
    refused: list[Refused] = []
    first: dict[tuple[str, str, date], Event] = {}
    known = sorted((e for e in record.events if e.since <= cut), key=lambda e: (e.since, e.received))
    for event in known:
        kept = first.setdefault((event.tenant, event.number, event.month), event)
        if kept is not event and kept.content != event.content:
            refused.append(Refused("usage_events", event.number, "duplicate_conflict"))
    cancelled: dict[tuple[str, str, date], Event] = {}
    for (tenant, number, month), event in first.items():
        if not event.cancels:
            continue
        place = (tenant, event.cancels, month)
        target = first.get(place)
        if event.cancels == number:
            refused.append(Refused("usage_events", number, "cancels_itself"))
        elif target is None or target.cancels or target.driver != event.driver:
            refused.append(Refused("usage_events", number, "cancels_nothing"))
        elif place in cancelled:
            refused.append(Refused("usage_events", number, "already_cancelled"))
        else:
            cancelled[place] = target
    counted = [event for place, event in first.items() if not event.cancels and place not in cancelled]
    return counted, list(cancelled.values()), refused


@dataclass(frozen=True)
class Subscription:
    """A subscription as it is known; `ended` is the first day not covered, or the end of time."""

    number: str
    tenant: str
    plan: str
    currency: str
    started: date
    ended: date
    terms: int
    commitment: Fraction

    def meets(self, other: Subscription) -> bool:
        """Whether a day is covered by both."""
        return self.tenant == other.tenant and max(self.started, other.started) < min(self.ended, other.ended)


def subscriptions(record: Record, cut: date) -> tuple[list[Subscription], list[str]]:
    """Subscriptions that count, read night by night as they became known, and the ids of those that overlap."""
    accepted: dict[str, Subscription] = {}
    newest: dict[str, tuple[Known, Subscription]] = {}
    nights = {row.since for versions in record.subscriptions.values() for row in versions if row.since <= cut}
    for night in sorted(nights):
        for number, versions in record.subscriptions.items():
            row = latest(versions, night)
            if row:
                newest[number] = (row, _subscription(row))
        _accept(accepted, newest)
    refused = [number for number, (_, told) in newest.items() if accepted.get(number) != told]
    return list(accepted.values()), refused


def _accept(accepted: dict[str, Subscription], newest: dict[str, tuple[Known, Subscription]]) -> None:
    again = True
    while again:
        again = False
        waiting = sorted(
            (_order(row, number), number) for number, (row, told) in newest.items() if accepted.get(number) != told
        )
        for _, number in waiting:
            told = newest[number][1]
            if not any(told.meets(other) for key, other in accepted.items() if key != number):
                accepted[number] = told
                again = True


def _order(row: Known, number: str) -> tuple[date, date, str]:
    """Which is known earlier; of those known on one night, which starts earlier."""
    return row.since, day_of(row["started_on"]), number


def _subscription(row: Known) -> Subscription:
    return Subscription(
        row["id"], row["tenant_id"], row["plan"], row["currency"], day_of(row["started_on"]), day_of(row["ended_on"]),
        int(row["net_terms_days"] or 30), Fraction(row["minimum_commitment"] or 0),
    )  # fmt: skip


@dataclass
class Coverage:
    """Who is subscribed on which day, as far as starts and ends have come by a close."""

    accepted: list[Subscription]
    close: date

    def __post_init__(self) -> None:
        self.started = [sub for sub in self.accepted if sub.started <= self.close]
        self.by_tenant: dict[str, list[Subscription]] = defaultdict(list)
        for sub in self.started:
            self.by_tenant[sub.tenant].append(sub)

    def span(self, sub: Subscription, month: date) -> list[date]:
        """The days of a month that a subscription covers."""
        ended = sub.ended if sub.ended <= self.close else date.max
        return list(days(max(sub.started, month), min(ended, next_month(month))))

    def on(self, tenant: str, day: date) -> Subscription | None:
        """The subscription that covers a day."""
        return next((sub for sub in self.by_tenant[tenant] if sub.started <= day < sub.ended), None)

    def terms(self, tenant: str, currency: str, day: date) -> int:
        """Days to pay: of the subscription in that currency that covers the day, else of the last one."""
        mine = sorted((sub for sub in self.by_tenant[tenant] if sub.currency == currency), key=lambda sub: sub.started)
        held = [sub for sub in mine if sub.started < sub.ended]
        for sub in held:
            if sub.started <= day < sub.ended:
                return sub.terms
        return held[-1].terms if held else 30
