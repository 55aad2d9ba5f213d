"""What an amount of usage would cost under a price set, for questions about prices: what if, and what changed.

Nobody is billed by this: bills are made by the models of `dbt_project/models/intermediate/billing`. A set is a sequence
of tiers in the order of their bounds, each with `pricing_model`, `tier_up_to` (None: last), `unit_price`, `flat_fee`,
`package_size` and `free_units`, as in `price_entries`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

from loompin.money import EXACT

Tier = Mapping[str, Any]

_ZERO = Decimal(0)


def in_order(entries: Sequence[Tier]) -> list[Tier]:
    """The entries of one set in the order of their bounds, the one without a bound last."""
    return sorted(entries, key=lambda tier: (tier["tier_up_to"] is None, tier["tier_up_to"] or _ZERO))


def amount(tiers: Sequence[Tier], quantity: Decimal) -> Decimal:
    """What a month's quantity costs, free units included in it, unrounded, in the currency of the set."""
    return billable_amount(tiers, max(_ZERO, quantity - (tiers[0]["free_units"] or _ZERO)))


def billable_amount(tiers: Sequence[Tier], units: Decimal) -> Decimal:
    """What billable units, free ones taken off, cost: unrounded, in the currency of the set."""
    first = tiers[0]
    if first["pricing_model"] == "per_unit":
        return EXACT.multiply(units, first["unit_price"])
    if first["pricing_model"] == "package":
        packages = EXACT.divide(units, first["package_size"]).to_integral_value(ROUND_CEILING, EXACT)
        return EXACT.multiply(packages, first["unit_price"])
    if first["pricing_model"] == "volume":
        return _tier_amount(next(t for t in tiers if t["tier_up_to"] is None or units <= t["tier_up_to"]), units)
    total, since = _ZERO, _ZERO
    for place, tier in enumerate(tiers):
        # A total exactly at a bound stays in the tier below it; the first tier holds 0 too.
        if place and units <= since:
            break
        until = units if tier["tier_up_to"] is None else min(units, tier["tier_up_to"])
        total = EXACT.add(total, _tier_amount(tier, until - since))
        since = until if tier["tier_up_to"] is None else tier["tier_up_to"]
    return total


def _tier_amount(tier: Tier, units: Decimal) -> Decimal:
    return EXACT.add(EXACT.multiply(units, tier["unit_price"]), tier["flat_fee"] or _ZERO)
