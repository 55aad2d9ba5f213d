"""How money is rounded and written in Python: the same as in `macros/money.sql`. What is owed is dbt's affair."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

WITHOUT_DECIMALS = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
     "XPF")
)  # fmt: skip
"""ISO 4217 currencies whose minor unit is the unit itself."""

EXACT = Context(prec=76)
"""Arithmetic on amounts with all their decimals; Python's own context cuts after 28 digits."""


def rounded(amount: Decimal, currency: str) -> Decimal:
    """An amount rounded half away from zero to the decimals of its currency, with two decimals written."""
    step = Decimal(1) if currency in WITHOUT_DECIMALS else Decimal("0.01")
    return amount.quantize(step, ROUND_HALF_UP, EXACT).quantize(Decimal("0.01"), context=EXACT)


def written(amount: Decimal, currency: str) -> str:
    """An amount as people read it: thousands parted, as many decimals as the currency has."""
    return f"{amount:,.{0 if currency in WITHOUT_DECIMALS else 2}f}"


def signed(amount: Decimal, currency: str) -> str:
    """A difference as people read it, with its sign."""
    return ("+" if amount > 0 else "") + written(amount, currency)


def plain(number: Decimal) -> str:
    """A quantity or price without the zeros at its end, thousands parted: 1,000 or 0.008."""
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
