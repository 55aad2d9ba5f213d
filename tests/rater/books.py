"""Hypothesis strategies for books of business: small, odd, and independent of each other.

Every name begins with `§`, which landing replaces by a prefix of its own, so that many books run in one warehouse. A
payment names an invoice of its book as `INV#3`, a credit note as `CN#1`. `OWN` is a currency that no other book uses:
prices open to everybody that charge without usage must not reach other books.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from rater.clerk import bill, numbered
from rater.record import Arrived

T = TypeVar("T")
LAST = date(2026, 6, 2)
OPENING = date(2025, 12, 1)
WHOLE = "2025-01-01"
DAY = timedelta(days=1)

# What a book may hold. A feature is left out by naming it here, with the reason.
FEATURES = frozenset({
    "assignments", "book_versions", "broken_sets", "cancellations", "currency_change", "duplicates", "entry_versions",
    "equal_priority", "flat_fees", "free_units", "late_drivers", "late_subscriptions", "late_tenants", "minimum",
    "overlaps", "payments", "plan_entries", "plan_versions", "refused_rows", "subscription_versions", "usage",
})  # fmt: skip


@dataclass
class Business:
    """Rows by table, in the order in which they were made up."""

    rows: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def arrived(self, night: Callable[[str, dict[str, str]], date]) -> list[Arrived]:
        """The rows, each with the night that accepts it."""
        return [Arrived(table, values, night(table, values)) for table, values in self.rows]


def text(amount: Fraction) -> str:
    """A decimal number of at most six decimals."""
    sign, scaled = ("-" if amount < 0 else ""), abs(amount) * 10**6
    assert scaled.denominator == 1
    whole, rest = divmod(scaled.numerator, 10**6)
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".")


class _Author:
    def __init__(self, seed: int, features: frozenset[str]) -> None:
        self.random = Random(seed)
        self.features = features
        self.made = Business()
        self.seconds = 0

    # -- dice ------------------------------------------------------------------------------------------------------

    def one(self, options: Sequence[T]) -> T:
        return options[self.number(0, len(options) - 1)]

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def chance(self, percent: int, feature: str = "") -> bool:
        if feature and feature not in self.features:
            return False
        return self.number(0, 99) >= 100 - percent

    def day(self, first: date, last: date) -> date:
        return first + self.number(0, (last - first).days) * DAY

    def stamp(self, day: date) -> str:
        """A moment of a day that no other row has."""
        self.seconds += 7
        return (datetime.combine(day, datetime.min.time()) + timedelta(seconds=self.seconds)).isoformat() + "Z"

    def add(self, table: str, **values: str) -> dict[str, str]:
        self.made.rows.append((table, values))
        return values

    # -- tables ----------------------------------------------------------------------------------------------------

    def write(self) -> Business:
        self.tenants = [f"§t{n}" for n in range(1, 2 + self.chance(30))]
        for tenant in self.tenants:
            late = self.stamp(self.day(date(2026, 1, 1), date(2026, 3, 15))) if self.chance(6, "late_tenants") else ""
            self.add("tenants", id=f"{tenant}-id", name=tenant, plan="§P1", status="active", region="eu", slug=tenant,
                     received_at=late)  # fmt: skip
        self._plans()
        self._drivers()
        self.currency = self.one(["USD", "USD", "OWN", "EUR", "JPY"])
        self.books: list[tuple[str, str]] = []
        self._books()
        for tenant in self.tenants:
            self._subscriptions(tenant)
            if "usage" in self.features:
                self._usage(tenant)
        if self.chance(70, "payments"):
            self._payments()
        return self.made

    def _plans(self) -> None:
        self.plans = ["§P0", "§P1", "§P2"]
        for plan, price in (("§P0", "0.00"), ("§P1", "49.00"), ("§P2", "499.99")):
            values = self.add("plans", name=plan, price_monthly=price, max_users="5", features="[]", received_at="")
            if price != "0.00" and self.chance(12, "plan_versions"):
                day = self.day(date(2026, 1, 1), LAST)
                self.add(
                    "plans", **{**values, "price_monthly": self.one(["59.00", "19.90"]), "received_at": self.stamp(day)}
                )

    def _drivers(self) -> None:
        self.drivers = ["§d1", "§d2"]
        for driver in self.drivers:
            late = self.stamp(self.day(date(2026, 1, 1), date(2026, 3, 15))) if self.chance(5, "late_drivers") else ""
            values = self.add("cost_drivers", driver_key=driver, category="x", unit_cost="0.5", unit_label="unit",
                              received_at=late)  # fmt: skip
            if self.chance(10):
                day = self.day(date(2026, 1, 1), LAST)
                self.add("cost_drivers", **{**values, "unit_cost": "0.25", "received_at": self.stamp(day)})

    def _books(self) -> None:
        currencies = [self.currency] * self.number(1, 2)
        if self.chance(20, "currency_change"):
            currencies.append(self.one([c for c in ("USD", "EUR", "OWN") if c != self.currency]))
        shared = self.one([10, 20])
        for place, currency in enumerate(currencies):
            name = f"§book{place}"
            priority = 0 if place == 0 and not self.chance(15) else shared
            if priority and "equal_priority" not in self.features:
                priority += place
            values = self.add("price_books", name=name, currency=currency, priority=str(priority), received_at="",
                              is_active="true" if not self.chance(5) else "false")  # fmt: skip
            if self.chance(10, "book_versions"):
                change = self.one([{"is_active": "false"}, {"is_active": "true"}, {"priority": "30"}])
                if change != {"priority": "30"} or priority:
                    self.add("price_books", **{**values, **change, "received_at": self.stamp(self.day(OPENING, LAST))})
            if priority and "assignments" in self.features:
                self._assign(name)
            self.books.append((name, currency))
            for driver in self.drivers:
                if not self.chance(15):
                    self._sets(name, driver, currency, open_to_all=priority == 0)
            if self.chance(75 if currency != "USD" else 25, "plan_entries"):
                self._plan_sets(name, currency)

    def _assign(self, book: str) -> None:
        for tenant in self.tenants:
            if self.chance(25):
                continue
            start = self.one([WHOLE, "2026-01-20", "2026-02-01"])
            late = self.stamp(self.day(OPENING, LAST)) if self.chance(15) else ""
            end = self.one(["", "", "2026-02-11", "2026-03-01"])
            values = self.add("price_book_assignments", tenant_id=tenant, price_book=book, valid_from=start,
                              valid_to=end, received_at=late)  # fmt: skip
            if self.chance(10):
                day = self.day(date(2026, 1, 5), LAST)
                other = {"valid_to": "2026-02-21", "received_at": self._after(late, day)}
                self.add("price_book_assignments", **{**values, **other})

    def _after(self, earlier: str, day: date) -> str:
        """A moment of the day, or right after an earlier one."""
        return self.stamp(max(day, date.fromisoformat(earlier[:10]) if earlier else day))

    # -- prices ----------------------------------------------------------------------------------------------------

    def _sets(self, book: str, item: str, currency: str, *, open_to_all: bool) -> None:
        starts = [WHOLE]
        if self.chance(35):
            starts.append(self.one(["2026-01-16", "2026-02-01", "2026-02-10"]))
        for place, start in enumerate(starts):
            flat = "flat_fees" in self.features and (not open_to_all or currency == "OWN")
            end = self.one(["2026-01-26", "2026-03-11"]) if self.chance(12) else ""
            rows = self._tiers(f"{book}.{item[1:]}.{place}", flat=flat)
            late = self.stamp(self.day(OPENING, LAST)) if self.chance(10, "entry_versions") else ""
            common = {"price_book": book, "item_key": item, "valid_from": start, "valid_to": end}
            broken = self.chance(8, "broken_sets")
            if broken:
                rows = self._break(rows)
            for row in rows:
                self.add("price_entries", **{**row, **common, "received_at": late})
            if self.chance(15, "entry_versions"):
                self._restate(rows, common, late)

    def _restate(self, rows: list[dict[str, str]], common: dict[str, str], late: str) -> None:
        stamp = self._after(late, self.day(OPENING, LAST))
        worse = self.chance(25, "broken_sets")
        for place, row in enumerate(rows):
            price = "-1" if worse and place == 0 else text(Fraction(abs(Fraction(row["unit_price"]))) + Fraction(1, 4))
            bound = "" if place == len(rows) - 1 else str(10 * (place + 1))
            change = {"unit_price": price, "tier_up_to": bound}
            self.add("price_entries", **{**row, **common, **change, "received_at": stamp})

    def _break(self, rows: list[dict[str, str]]) -> list[dict[str, str]]:
        how = self.number(0, 2)
        if how == 0:
            return [{**rows[0], "unit_price": "-0.5"}, *rows[1:]]
        if how == 1:
            return [{**row, "tier_up_to": "10"} for row in rows]
        return [*rows[:-1], {**rows[-1], "tier_up_to": "70"}]

    def _tiers(self, name: str, *, flat: bool) -> list[dict[str, str]]:
        model = self.one(["per_unit", "graduated", "volume", "package"])
        free = self.one(["", "", "10", "2.5"]) if "free_units" in self.features else ""
        tiered = model in ("graduated", "volume")
        bounds = self.one([["10", ""], ["10", "20.5", ""], [""], ["0.5", "100", ""]]) if tiered else [""]
        return [
            {
                "id": f"{name}.{place}", "pricing_model": model, "tier_up_to": bound,
                "unit_price": self.one(["1", "0.015", "0.333333", "2.5", "0"]),
                "flat_fee": self.one(["", "1", "3"]) if flat and tiered else "",
                "package_size": self.one(["5", "10", "2.5"]) if model == "package" else "", "free_units": free,
            }
            for place, bound in enumerate(bounds)
        ]  # fmt: skip

    def _plan_sets(self, book: str, currency: str) -> None:
        for plan in self.plans:
            if self.chance(10):
                continue
            starts = [WHOLE, "2026-02-10"] if self.chance(20) else [WHOLE]
            for place, start in enumerate(starts):
                price = self.one(["45", "380.5", "1000"]) if currency != "JPY" else self.one(["4500", "98000"])
                values = self.add(
                    "price_entries", id=f"{book}.{plan[1:]}.{place}", price_book=book, item_key=f"plan:{plan}",
                    pricing_model="per_unit", tier_up_to="", unit_price=price, flat_fee="", package_size="",
                    free_units="", valid_from=start, valid_to="", received_at="",
                )  # fmt: skip
                if self.chance(10, "entry_versions"):
                    stamp = self.stamp(self.day(OPENING, LAST))
                    self.add(
                        "price_entries", **{**values, "unit_price": self.one(["55", "777", "-3"]), "received_at": stamp}
                    )

    # -- subscriptions ---------------------------------------------------------------------------------------------

    def _subscriptions(self, tenant: str) -> None:
        start = self.one([date(2026, 1, 1), date(2025, 12, 15), date(2026, 1, 10), date(2026, 2, 1), date(2026, 2, 28)])
        for place in range(1, 2 + self.number(0, 2)):
            end = self.one([None, start + self.number(0, 70) * DAY])
            if place < 3 and self.chance(40):
                end = end or start + self.number(1, 60) * DAY
            self._subscription(tenant, place, start, end)
            if end is None:
                if self.chance(25, "overlaps"):
                    extra = self.day(date(2026, 1, 1), date(2026, 5, 1))
                    self._subscription(tenant, 9, extra, self.one([None, extra + 20 * DAY]), late=True)
                return
            start = end + self.one([0, 0, 10, 35]) * DAY

    def _subscription(self, tenant: str, place: int, start: date, end: date | None, *, late: bool = False) -> None:
        currency = self.one([c for _, c in self.books]) if "currency_change" in self.features else self.currency
        received = ""
        if late or self.chance(20, "late_subscriptions"):
            received = self.stamp(self.day(OPENING, LAST))
        values = self.add(
            "subscriptions", id=f"{tenant}.s{place}", tenant_id=self.one([tenant, f"{tenant}-id"]),
            plan=self.one(self.plans) if not self.chance(4, "refused_rows") else "§gone", currency=currency,
            started_on=str(start), ended_on=str(end) if end else "", net_terms_days=self.one(["30", "", "0", "10"]),
            minimum_commitment=self.one(["", "", "100.00", "10"]) if "minimum" in self.features else "",
            received_at=received,
        )  # fmt: skip
        if self.chance(3, "refused_rows"):
            bad = self.one([{"currency": "XXX"}, {"tenant_id": "§nobody"}, {"ended_on": "2025-01-01"}])
            self.add("subscriptions", **{**values, "id": f"{values['id']}.bad", **bad})
        for _ in range(2):
            if self.chance(15, "subscription_versions"):
                change = self.one([
                    {"plan": self.one(self.plans)}, {"minimum_commitment": "50.55"}, {"net_terms_days": "20"},
                    {"ended_on": str(start + self.number(0, 60) * DAY)}, {"ended_on": ""},
                    {"started_on": str(min(start + 5 * DAY, end or date.max))},
                ])  # fmt: skip
                received = self._after(received, self.day(date(2026, 1, 2), LAST))
                values = self.add("subscriptions", **{**values, **change, "received_at": received})

    # -- usage -----------------------------------------------------------------------------------------------------

    def _usage(self, tenant: str) -> None:
        made: list[dict[str, str]] = []
        for number in range(self.number(0, 9)):
            made.append(self._event(tenant, f"{tenant}.u{number}"))
            if self.chance(10, "duplicates"):
                twin = {**self.one(made), "received_at": self._late(made[-1])}
                if self.chance(40):
                    twin["quantity"] = "77"
                made.append(self.add("usage_events", **twin))
            if self.chance(14, "cancellations"):
                made.append(self._cancel(tenant, f"{tenant}.c{number}", self.one(made)))

    def _event(self, tenant: str, number: str) -> dict[str, str]:
        day = self.day(date(2025, 12, 20), date(2026, 3, 31)) if self.chance(50) else self.day(date(2026, 1, 1), LAST)
        bound = Fraction(self.one(["10", "20.5", "0.5", "100", "20", "12.5", "30", "23"]))
        quantity = bound + Fraction(self.one(["0", "0.000001", "-0.000001", "3", "-0.25"]))
        if self.chance(8):
            quantity = Fraction(0)
        occurred = self.stamp(day)
        lag = self.one([0, 0, 0, 1, 5, 30, 61, 100])
        values = self.add(
            "usage_events", event_id=number, tenant_id=self.one([tenant, f"{tenant}-id"]),
            driver_key=self.one(self.drivers), quantity=text(quantity), occurred_at=occurred,
            received_at=self.stamp(day + lag * DAY), cancels_event_id="",
        )  # fmt: skip
        if self.chance(5, "refused_rows"):
            bad = self.one([
                {"quantity": "-4"}, {"quantity": "1.0000001"}, {"tenant_id": "§nobody"}, {"driver_key": "§nothing"},
                {"received_at": self.stamp(day - 3 * DAY)},
            ])  # fmt: skip
            self.add("usage_events", **{**values, "event_id": self.one([number, f"{number}.bad"]), **bad})
        return values

    def _late(self, values: dict[str, str]) -> str:
        return self.stamp(date.fromisoformat(values["occurred_at"][:10]) + self.one([0, 1, 20, 40]) * DAY)

    def _cancel(self, tenant: str, number: str, target: dict[str, str]) -> dict[str, str]:
        named = target["event_id"] if not self.chance(12) else self.one([number, "§never"])
        driver = target["driver_key"] if not self.chance(6) else self.one(self.drivers)
        day = date.fromisoformat(target["occurred_at"][:10])
        return self.add(
            "usage_events", event_id=number, tenant_id=tenant, driver_key=driver, quantity=self.one(["0", "5", "-1"]),
            occurred_at=self.stamp(min(day + self.one([0, 0, 3]) * DAY, LAST)), received_at=self._late(target),
            cancels_event_id=named,
        )  # fmt: skip

    # -- payments --------------------------------------------------------------------------------------------------

    def _payments(self) -> None:
        bills = bill(self.made.arrived(lambda table, values: LAST), [LAST])
        invoices = numbered([bills])
        notes = [invoice for invoice in invoices if invoice.credited]
        for number in range(self.number(1, 4)):
            if notes and self.chance(35):
                place = self.number(1, len(notes))
                invoice, named = notes[place - 1], f"CN#{place}"
                amount = -invoice.credited * self.one([Fraction(1), Fraction(2), Fraction(1, 2)])
            elif invoices:
                place = self.number(1, len(invoices))
                invoice, named = invoices[place - 1], f"INV#{place}"
                amount = invoice.amount * self.one([Fraction(1), Fraction(2), Fraction(1, 2)])
            else:
                return
            self._payment(number, named, amount, invoice.currency, invoice.date)

    def _payment(self, number: int, named: str, amount: Fraction, currency: str, dated: date) -> None:
        amount = Fraction(int(amount * 100), 100) if currency != "JPY" else Fraction(int(amount))
        paid = dated + self.one([-20, 0, 3, 31, 45]) * DAY
        values = self.add(
            "payments", id=f"§p{number}", invoice_id=named if not self.chance(6) else "INV#99", amount=text(amount),
            currency=currency if not self.chance(6) else "CHF", paid_at=self.stamp(paid), received_at="",
        )  # fmt: skip
        if self.chance(10):
            received = self.stamp(paid + self.one([1, 3, 40]) * DAY)
            change = {"received_at": received} if self.chance(50) else {"received_at": received, "amount": "1.23"}
            self.add("payments", **{**values, **change})


@st.composite
def businesses(draw: Callable[[st.SearchStrategy[Any]], Any], features: frozenset[str] = FEATURES) -> Business:
    """A book of business with its payments.

    Which features it has is drawn one by one, all else follows from one drawn number: values that are drawn one by one
    come out much alike from one book to the next.
    """
    left_out = draw(st.sets(st.sampled_from(sorted(FEATURES - {"usage"})), max_size=8))
    return _Author(draw(st.integers(0, 2**60)), features - left_out).write()


def collect(count: int, number: int, features: frozenset[str] = FEATURES) -> list[Business]:
    """As many books, the same ones for the same number."""
    made: list[Business] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(businesses(features))
    def run(business: Business) -> None:
        made.append(business)

    run()
    return made
