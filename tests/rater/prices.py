"""What something costs as it was known on a night: which book and set win on a day, and what units cost under a set."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import ceil
from typing import TypeVar

from rater.record import WHOLE_ONLY, Known, Record, day_of, latest

Key = TypeVar("Key")


def rounded(amount: Fraction, currency: str) -> Fraction:
    """Half away from zero, to the decimals of the currency."""
    unit = 1 if currency in WHOLE_ONLY else 100
    cents = abs(amount) * unit
    whole = (2 * cents.numerator + cents.denominator) // (2 * cents.denominator)
    return Fraction(whole if amount >= 0 else -whole, unit)


@dataclass(frozen=True)
class Tier:
    """One row of a set; no bound: the last."""

    entry: str
    up_to: Fraction | None
    unit_price: Fraction
    flat_fee: Fraction


@dataclass(frozen=True)
class PriceSet:
    """The rows of one book, item and first day, as they were known."""

    book: str
    item: str
    valid_from: date
    model: str
    free: Fraction
    size: Fraction
    tiers: tuple[Tier, ...]

    def shares(self, units: Fraction) -> dict[int, tuple[Fraction, Fraction]]:
        """Units (of a package: packages) and exact amount by tier, numbered from 1; only the tiers that take part."""
        left = max(Fraction(0), units - self.free)
        if self.model == "per_unit":
            return {1: (left, left * self.tiers[0].unit_price)}
        if self.model == "package":
            packages = Fraction(ceil(left / self.size))
            return {1: (packages, packages * self.tiers[0].unit_price)}
        if self.model == "volume":
            place = next(i for i, tier in enumerate(self.tiers) if tier.up_to is None or left <= tier.up_to)
            tier = self.tiers[place]
            return {place + 1: (left, left * tier.unit_price + tier.flat_fee)}
        found: dict[int, tuple[Fraction, Fraction]] = {}
        low = Fraction(0)
        for place, tier in enumerate(self.tiers, 1):
            if place > 1 and left <= low:
                break
            inside = left - low if tier.up_to is None else min(left, tier.up_to) - low
            found[place] = (inside, inside * tier.unit_price + tier.flat_fee)
            low = tier.up_to if tier.up_to is not None else left
        return found

    def cost(self, units: Fraction) -> Fraction:
        """What units cost in a month, exactly."""
        return sum((amount for _, amount in self.shares(units).values()), Fraction(0))


@dataclass(frozen=True)
class _Dated:
    valid_from: date
    valid_to: date
    rows: tuple[Known, ...]


class Prices:
    """Price books, sets and plans as they were known at the end of a night."""

    def __init__(self, record: Record, cut: date) -> None:
        self.books = _known(record.books, cut)
        self.plans = _known(record.plans, cut)
        self.assigned: dict[tuple[str, str], list[Known]] = defaultdict(list)
        for (tenant, book, _), row in _known(record.assignments, cut).items():
            self.assigned[tenant, book].append(row)
        rows: dict[tuple[str, str], dict[date, list[Known]]] = defaultdict(lambda: defaultdict(list))
        for row in _known(record.entries, cut).values():
            rows[row["price_book"], row["item_key"]][day_of(row["valid_from"])].append(row)
        self.sets = {
            key: sorted(
                (_Dated(day, min(day_of(r["valid_to"]) for r in found), tuple(found)) for day, found in dated.items()),
                key=lambda dated: dated.valid_from,
                reverse=True,
            )
            for key, dated in rows.items()
        }
        self.items = {item for _, item in self.sets if not item.startswith("plan:")}

    def _open_to(self, tenant: str, currency: str, day: date) -> list[str]:
        found = []
        for name, book in self.books.items():
            if book["is_active"] == "true" and book["currency"] == currency:
                mine = any(
                    day_of(row["valid_from"]) <= day < day_of(row["valid_to"]) for row in self.assigned[tenant, name]
                )
                if mine or int(book["priority"]) == 0:
                    found.append((-int(book["priority"]), name))
        return [name for _, name in sorted(found)]

    def choose(self, tenant: str, currency: str, item: str, day: date) -> tuple[bool, PriceSet | None]:
        """Whether a set wins on a day, and that set unless it is broken."""
        for book in self._open_to(tenant, currency, day):
            for dated in self.sets.get((book, item), []):
                if dated.valid_from <= day < dated.valid_to:
                    return True, _whole(dated)
        return False, None

    def plan(self, tenant: str, currency: str, plan: str, day: date) -> tuple[Fraction, str | None, str | None] | None:
        """The monthly price of a plan with its book and entry, or nothing if it has no price."""
        wins, chosen = self.choose(tenant, currency, f"plan:{plan}", day)
        if wins:
            return (chosen.tiers[0].unit_price, chosen.book, chosen.tiers[0].entry) if chosen else None
        if currency == "USD" and plan in self.plans and self.plans[plan]["price_monthly"]:
            return Fraction(self.plans[plan]["price_monthly"]), None, None
        return None


def _known(versions: dict[Key, list[Known]], cut: date) -> dict[Key, Known]:
    found = ((key, latest(rows, cut)) for key, rows in versions.items())
    return {key: row for key, row in found if row}


def _whole(dated: _Dated) -> PriceSet | None:
    rows = sorted(dated.rows, key=lambda row: (row["tier_up_to"] == "", Fraction(row["tier_up_to"] or 0)))
    bounds = [row["tier_up_to"] and Fraction(row["tier_up_to"]) for row in rows]
    alike = {(row["pricing_model"], row["package_size"], row["free_units"]) for row in rows}
    if any(row.refused for row in rows) or len(set(bounds)) < len(bounds) or bounds[-1] != "" or len(alike) > 1:
        return None
    first = rows[0]
    return PriceSet(
        first["price_book"], first["item_key"], dated.valid_from, first["pricing_model"],
        Fraction(first["free_units"] or 0), Fraction(first["package_size"] or 0),
        tuple(
            Tier(row["id"], Fraction(row["tier_up_to"]) if row["tier_up_to"] else None,
                 Fraction(row["unit_price"]), Fraction(row["flat_fee"] or 0))
            for row in rows
        ),
    )  # fmt: skip
