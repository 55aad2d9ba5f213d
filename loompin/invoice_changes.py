"""Why an invoice differs from the tenant's invoice before: the difference split into effects that add up to it exactly.

Every line of both invoices belongs to exactly one effect, or, usage of an item on both, to three of which the last is
what the other two leave; so the effects add up to the difference by construction. docs/billing.md says what each means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from loompin import money, price_sets

Line = Mapping[str, Any]
"""A row of `invoice_lines`."""

PricesOf = Callable[[Line], Sequence[price_sets.Tier]]
"""The tiers of the price set of a usage line, in order; empty if they are not known."""

EFFECTS = ("quantity", "price", "tier mix", "proration", "late", "plan", "minimum", "credit")
_WHOLE = {"proration": "proration", "adjustment": "late", "minimum": "minimum", "credit": "credit"}
_ZERO = Decimal(0)


@dataclass(frozen=True)
class Change:
    """One effect on one item: its `amount` in the invoices' currency, and why, in words."""

    effect: str
    item_key: str
    amount: Decimal
    words: str


def split(before: Sequence[Line], now: Sequence[Line], prices_of: PricesOf) -> list[Change]:
    """The difference between two invoices of a tenant in one currency, item by item; effects of 0 are left out.

    Args:
        before: all lines of the earlier invoice.
        now: all lines of the later one.
        prices_of: finds the price set of a usage line of the earlier invoice.
    """
    changes: list[Change] = []
    for kind, effect in _WHOLE.items():
        for item in _items(before, now, kind):
            was, is_now = _sum(before, kind, item), _sum(now, kind, item)
            words = f"{_word(kind)} of {is_now} on this invoice, {was} on the one before"
            changes.append(Change(effect, item, is_now - was, words))
    changes += [
        _fee(item, _of(before, "subscription", item), _of(now, "subscription", item))
        for item in _items(before, now, "subscription")
    ]
    for item in _items(before, now, "usage"):
        changes += _usage(item, _of(before, "usage", item), _of(now, "usage", item), prices_of)
    order = {effect: place for place, effect in enumerate(EFFECTS)}
    return sorted(
        (change for change in changes if change.amount), key=lambda change: (order[change.effect], change.item_key)
    )


def totals(changes: Iterable[Change]) -> dict[str, Decimal]:
    """The sum of each effect, all of them in their order."""
    sums = dict.fromkeys(EFFECTS, _ZERO)
    for change in changes:
        sums[change.effect] += change.amount
    return sums


def _fee(item: str, before: list[Line], now: list[Line]) -> Change:
    """A plan that is on both invoices changed its price, any other change is one of plan."""
    was, is_now = _amount(before), _amount(now)
    if before and now:
        return Change("price", item, is_now - was, f"the fee of a month was {was} and is {is_now}")
    words = "the plan is billed on this invoice, not on the one before" if now else "the plan is no longer billed"
    return Change("plan", item, is_now - was, words)


def _usage(item: str, before: list[Line], now: list[Line], prices_of: PricesOf) -> list[Change]:
    """Sequential substitution: the new quantity at the old average price, then in the old tiers, then at the new
    prices."""
    was, is_now = _amount(before), _amount(now)
    old, new = _quantity(before), _quantity(now)
    moved = f"{money.plain(old)} -> {money.plain(new)} units"
    if not (before and now):
        return [Change("quantity", item, is_now - was, moved)]
    currency = before[0]["currency"]
    tiers = _consistent(before[-1], prices_of(before[-1])) if len(before) == 1 else _last(before, prices_of)
    if tiers is None:
        # What the old prices would have asked for the new quantity is not known: the average price stands for them.
        quantity = _share(was, new - old, old, currency) if old else is_now - was
        return [
            Change("quantity", item, quantity, f"{moved} at the average price of the invoice before"),
            Change("price", item, is_now - was - quantity, "the rest: the average price of a unit changed"),
        ]
    exact_old, exact_new = price_sets.amount(tiers, old), price_sets.amount(tiers, new)
    at_old, at_new = money.rounded(exact_old, currency), money.rounded(exact_new, currency)
    if not old or money.EXACT.multiply(exact_new, old) == money.EXACT.multiply(exact_old, new):
        quantity = at_new - at_old
    else:
        quantity = _share(exact_old, new - old, old, currency)
    return [
        Change("quantity", item, quantity, f"{moved} at the average price of the invoice before"),
        Change("tier mix", item, at_new - at_old - quantity,
               "more or fewer units in other tiers, free units, packages or flat fees of the same prices"),
        Change("price", item, is_now - at_new + at_old - was, f"{at_new} under the prices before, {is_now} now"),
    ]  # fmt: skip


def _last(before: list[Line], prices_of: PricesOf) -> Sequence[price_sets.Tier] | None:
    """The price set that was valid last of those on an invoice; None if the prices of one of them are not known."""
    found = [_consistent(line, prices_of(line)) for line in before]
    known = [tiers for tiers in found if tiers is not None]
    return max(known, key=lambda tiers: tiers[0]["valid_from"]) if len(known) == len(found) else None


def _consistent(line: Line, tiers: Sequence[price_sets.Tier]) -> Sequence[price_sets.Tier] | None:
    """The tiers, if they are those that made the line: prices may be corrected later, and lines stay what they are."""
    if not tiers or price_sets.amount(tiers, line["quantity"]) != line["amount_exact"]:
        return None
    return tiers


def _share(amount: Decimal, part: Decimal, whole: Decimal, currency: str) -> Decimal:
    return money.rounded(money.EXACT.divide(money.EXACT.multiply(amount, part), whole), currency)


def _items(before: Sequence[Line], now: Sequence[Line], kind: str) -> list[str]:
    return sorted({line["item_key"] for line in (*before, *now) if line["line_type"] == kind})


def _of(lines: Sequence[Line], kind: str, item: str) -> list[Line]:
    return [line for line in lines if (line["line_type"], line["item_key"]) == (kind, item)]


def _sum(lines: Sequence[Line], kind: str, item: str) -> Decimal:
    return _amount(_of(lines, kind, item))


def _amount(lines: Iterable[Line]) -> Decimal:
    return sum((line["amount"] for line in lines), _ZERO)


def _quantity(lines: Iterable[Line]) -> Decimal:
    return sum((line["quantity"] for line in lines), _ZERO)


def _word(kind: str) -> str:
    return {
        "proration": "fees of days that came or went",
        "adjustment": "what became known after its month was billed,",
        "minimum": "the rest to the minimum commitment,",
        "credit": "what a credit note takes over,",
    }[kind]
