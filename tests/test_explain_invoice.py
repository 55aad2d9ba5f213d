"""`loompin explain invoice`: lines, arithmetic, events, payments and what changed, each added anew.

Where a book is used, it is the priced book: added up by hand, every pricing model, late usage, a plan change.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import priced_book
import pytest
from billing_models import Book, Models, compiled
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loompin import explain_invoice, invoice_changes, money, price_sets
from loompin.failures import UnknownId
from loompin.output import write_object

CENTS = Decimal("0.01")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


@pytest.fixture(scope="module")
def book(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Book:
    """Three nights of the priced book, only to be read."""
    return priced_book.made(tmp_path_factory.mktemp("explain"), models)


def number(book: Book, slug: str, day: str) -> str:
    return str(book.ask(f"select id from invoices where tenant_slug = '{slug}' and date = date '{day}'")[0]["id"])


def told(book: Book, invoice: str, events: bool = False) -> str:
    """All that is shown, as one text without the breaks of lines."""
    console = Console(file=io.StringIO(), width=400)
    for part in explain_invoice.invoice(book.settings, invoice, events):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return " ".join(text.replace("│", " ").split())


def line(book: Book, invoice: str, item: str, kind: str) -> dict[str, Any]:
    found = explain_invoice.invoice_plain(book.settings, invoice, False)["lines"]
    return next(line for line in found if (line["item_key"], line["line_type"]) == (item, kind))


@contextlib.contextmanager
def planted(book: Book, sql: str) -> Iterator[None]:
    """A published file in which something was changed by hand; as before afterwards."""
    path = book.settings.published
    before = path.read_bytes()
    try:
        with contextlib.closing(duckdb.connect(str(path))) as connection:
            connection.execute(sql)
        yield
    finally:
        path.write_bytes(before)


# -- lines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "arithmetic"),
    [
        ("tokens", "2,000 x 0.01 = 20 -> 20.00"),
        ("storage", "100 of 1,350.5 units are free; 1,000 x 0.01 + 5 flat + 250.5 x 0.008 = 17.004 -> 17.00"),
        ("cpu", "495 x 0.1 = 49.5 -> 49.50"),
        ("sms", "120 units, free ones taken off, in packages; 1 x 1.5 = 1.5 -> 1.50"),
    ],
)
def test_a_usage_line_shows_its_tiers_and_arithmetic(book: Book, item: str, arithmetic: str) -> None:
    found = line(book, number(book, "acme", "2026-02-01"), item, "usage")
    assert found["arithmetic"] == arithmetic
    assert found["rule"] == "usage of January 2026, in arrears: all that was known at the end of 2026-02-01"
    assert found["price"].startswith("price book Standard, entry ")
    assert sum(tier["amount_exact"] for tier in found["tiers"]) == found["amount_exact"]
    assert found["events"]["count"] == 1
    assert len(found["events"]["sample"]) == 1


def test_an_adjustment_shows_what_was_billed_before(book: Book) -> None:
    found = line(book, number(book, "acme", "2026-03-01"), "tokens", "adjustment")
    first = number(book, "acme", "2026-02-01")
    assert found["arithmetic"] == "40 x 0.01 = 0.4; in all 20.4 -> 20.40, less 20.00 billed before = 0.40"
    assert found["rule"] == (
        f"usage of January 2026 that became known, or was cancelled, after {first} of 2026-02-01 billed the month"
    )
    assert [row["amount"] for row in found["billed_before"]] == [Decimal("20.00")]


def test_plan_lines_and_prorations_say_which_days(book: Book) -> None:
    """Pro was billed for March in advance and ended after the 10th; Team began on the 11th."""
    invoice = number(book, "acme", "2026-04-01")
    pro = line(book, invoice, "plan:Pro", "proration")
    assert pro["amount"] == Decimal("-21.00")
    assert pro["arithmetic"].startswith("-21 of 31 days x 31 a month = -21")
    assert "that plan Pro does not cover after all, billed in advance on" in pro["rule"]
    team = line(book, invoice, "plan:Team", "proration")
    assert team["arithmetic"] == "21 of 31 days x 62 a month = 42 -> 42.00"
    assert "nothing billed yet" in team["rule"]
    fee = line(book, invoice, "plan:Team", "subscription")
    assert fee["rule"] == "the fee of plan Team for April 2026, in advance: the plan is in force on 2026-04-01"
    assert fee["price"] == "the plan's own price, 62 USD a month"
    assert fee["events"] is None


def test_a_minimum_says_what_it_lacks_and_why_it_is_stated_anew(book: Book) -> None:
    """beta commits to 40.00 and used 10.00 of cpu in January; 3.00 more came in March. storage has a fee of 5.00."""
    first = line(book, number(book, "beta", "2026-02-01"), "minimum", "minimum")
    assert first["amount"] == Decimal("25.00")
    assert "usage of January 2026 came to 15.00 USD, 25.00 less than the minimum commitment" in first["rule"]
    anew = line(book, number(book, "beta", "2026-04-01"), "minimum", "adjustment")
    assert anew["amount"] == Decimal("-3.00")
    assert "came to 18.00 USD, 22.00 less than" in anew["rule"]
    assert f"after {number(book, 'beta', '2026-02-01')} of 2026-02-01" in anew["rule"]
    storage = line(book, number(book, "beta", "2026-02-01"), "storage", "usage")
    assert (
        storage["rule"] == "the flat fee of storage, owed once in a subscribed month without usage of it: January 2026"
    )
    assert storage["arithmetic"] == "0 x 0.01 + 5 flat = 5 -> 5.00"


def test_every_invoice_is_explained_without_a_difference(book: Book) -> None:
    invoices = [row["id"] for row in book.ask("select id from invoices order by id")]
    assert len(invoices) == 12
    for invoice in invoices:
        text = told(book, invoice, events=True)
        assert "DIFFERENCE" not in text, text
        plain = explain_invoice.invoice_plain(book.settings, invoice, True)
        for found in plain["lines"]:
            if found["events"] is not None:
                counted = sum(event["quantity"] * event["counts"] for event in found["events"]["all"])
                assert counted == found["quantity"], (invoice, found["line"])


def test_events_say_on_which_line_they_are_billed(book: Book) -> None:
    invoice = number(book, "acme", "2026-03-01")
    found = line(book, invoice, "tokens", "adjustment")
    event = found["events"]["sample"][0]
    text = told(book, invoice, events=True)
    assert f"{event} 2026-01-11 12:00:00 2026-02-15 13:00:00 40.000000 counted usage_events.csv" in text
    assert (
        "Counted: 2040.000000 units, which is what tenant_usage_daily holds; 40.000000 of them are billed here." in text
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("update invoice_lines set amount = amount + 1 where item_key = 'cpu' and invoice_id = '{0}'",
         "DIFFERENCE: the lines add up to"),
        ("update invoice_line_tiers set amount_exact = 7 where amount_exact = 49.5",
         "7 (tier 1) = 7 (DIFFERENCE: the line says 49.5)"),
        ("update invoices set balance = 1 where id = '{0}'", "DIFFERENCE: 0 USD are paid, but the balance is 1.00"),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_said(book: Book, change: str, expected: str) -> None:
    invoice = number(book, "acme", "2026-02-01")
    with planted(book, change.format(invoice)):
        assert expected in told(book, invoice)


def test_an_unknown_invoice(book: Book) -> None:
    for asked in ("INV-99-999", "' or 1=1", ""):
        with pytest.raises(UnknownId, match="there is no invoice"):
            list(explain_invoice.invoice(book.settings, asked, False))
        with pytest.raises(UnknownId):
            explain_invoice.invoice_plain(book.settings, asked, True)


def test_json_holds_everything(book: Book) -> None:
    write_object(
        explain_invoice.invoice_plain(book.settings, number(book, "acme", "2026-03-01"), True), text := io.StringIO()
    )
    plain = json.loads(text.getvalue(), parse_float=Decimal)
    assert set(plain) == {"invoice", "lines", "lines_amount", "credit_notes_opened", "settled", "changes"}
    assert plain["lines_amount"] == plain["invoice"]["amount"]
    assert sum(plain["changes"]["effects"].values()) == plain["changes"]["difference"]


# -- what changed ----------------------------------------------------------------------------------------------------


def test_what_changed_is_split_and_adds_up(book: Book) -> None:
    """From January's usage to February's; see the quantities and prices of the priced book."""
    changes = explain_invoice.invoice_plain(book.settings, number(book, "acme", "2026-03-01"), False)["changes"]
    items = {(change["effect"], change["item_key"]): change["amount"] for change in changes["items"]}
    assert items == {
        # 2,000 -> 3,000 at 0.01; then 0.012 instead of 0.01 for 3,000.
        ("quantity", "tokens"): Decimal("10.00"),
        ("price", "tokens"): Decimal("6.00"),
        # 1,350.5 -> 900 at 17.004 / 1,350.5 a unit; 800 x 0.01 + 5 = 13.00 in fact.
        ("quantity", "storage"): Decimal("-5.67"),
        ("tier mix", "storage"): Decimal("1.67"),
        # 495 -> 510 at 0.10, then all 510 at 0.08.
        ("quantity", "cpu"): Decimal("1.50"),
        ("tier mix", "cpu"): Decimal("-10.20"),
        # 120 -> 260 units at 1.5 / 120; three packages instead of one.
        ("quantity", "sms"): Decimal("1.75"),
        ("tier mix", "sms"): Decimal("1.25"),
        ("late", "tokens"): Decimal("0.40"),
    }
    assert sum(changes["effects"].values()) == changes["difference"] == sum(items.values())
    later = explain_invoice.invoice_plain(book.settings, number(book, "acme", "2026-04-01"), False)["changes"]
    effects = {effect: amount for effect, amount in later["effects"].items() if amount}
    assert effects["proration"] == Decimal("21.00")
    assert effects["plan"] == Decimal("31.00")
    assert effects["late"] == Decimal("-0.40")
    assert sum(effects.values()) == later["difference"]


def test_the_first_invoice_has_none_before(book: Book) -> None:
    first = number(book, "gamma", "2026-01-01")
    assert explain_invoice.invoice_plain(book.settings, first, False)["changes"] is None
    assert "This is the first invoice of gamma in EUR" in told(book, first)


TIERS = st.sampled_from(["per_unit", "graduated", "volume", "package"])
QUANTITIES = st.one_of(
    st.decimals(0, 3000, places=3, allow_nan=False), st.sampled_from([Decimal(x) for x in (0, 100, 1000, 1001, 500)])
)
PRICES = st.decimals(0, 5, places=6, allow_nan=False)


@st.composite
def sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A price set of any model."""
    model = draw(TIERS)
    bounds = draw(st.lists(st.integers(1, 2000), max_size=3, unique=True)) if model in ("graduated", "volume") else []
    free = Decimal(draw(st.sampled_from([0, 0, 50])))
    return [
        {
            "pricing_model": model, "tier_up_to": Decimal(bound) if bound else None, "unit_price": draw(PRICES),
            "flat_fee": draw(st.sampled_from([None, Decimal(0), Decimal("2.5")])) if bounds else Decimal(0),
            "package_size": Decimal(100) if model == "package" else None, "free_units": free,
            "valid_from": draw(st.dates()),
        }
        for bound in [*sorted(bounds), None]
    ]  # fmt: skip


@st.composite
def invoices(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Lines of one invoice, and the price set of each usage line by its id."""
    lines: list[dict[str, Any]] = []
    prices: dict[str, list[dict[str, Any]]] = {}

    def add(kind: str, item: str, quantity: Decimal, exact: Decimal) -> None:
        lines.append({
            "line_id": f"{len(lines)}", "line_type": kind, "item_key": item, "quantity": quantity,
            "amount_exact": exact, "amount": money.rounded(exact, "USD"), "currency": "USD",
            "price_entry_id": f"{len(lines)}",
        })  # fmt: skip

    for item in draw(st.lists(st.sampled_from(["tokens", "cpu", "sms"]), max_size=4)):
        tiers, quantity = draw(sets()), draw(QUANTITIES)
        exact = price_sets.amount(tiers, quantity)
        # Prices that were corrected since, or are not listed any more.
        known = draw(st.sampled_from(["known", "known", "known", "corrected", "gone"]))
        if known != "gone":
            changed = [{**tier, "unit_price": tier["unit_price"] + 1} for tier in tiers]
            prices[f"{len(lines)}"] = tiers if known == "known" else changed
        add("usage", item, quantity, exact)
    amounts = st.decimals(-500, 500, places=4, allow_nan=False)
    for kind, item in draw(
        st.lists(
            st.sampled_from([
                ("subscription", "plan:Pro"), ("subscription", "plan:Team"), ("proration", "plan:Pro"),
                ("adjustment", "tokens"), ("adjustment", "minimum"), ("minimum", "minimum"), ("credit", "credit_note"),
            ]),
            max_size=6,
        )
    ):  # fmt: skip
        add(kind, item, Decimal(draw(st.integers(-31, 31))), draw(amounts))
    return lines, prices


@given(invoices(), invoices())
def test_effects_always_add_up_to_the_difference(
    before: tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]],
    now: tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]],
) -> None:
    """Whatever stands on two invoices, and whether or not their prices are known."""

    def prices_of(line: invoice_changes.Line) -> Sequence[price_sets.Tier]:
        return before[1].get(line["line_id"], [])

    changes = invoice_changes.split(before[0], now[0], prices_of)
    amount = sum((line["amount"] for line in now[0]), Decimal(0)) - sum((x["amount"] for x in before[0]), Decimal(0))
    assert sum((change.amount for change in changes), Decimal(0)) == amount
    assert sum(invoice_changes.totals(changes).values()) == amount
    assert all(change.effect in invoice_changes.EFFECTS for change in changes)
    assert all(change.amount == change.amount.quantize(CENTS) != 0 for change in changes)


@given(sets(), QUANTITIES, QUANTITIES)
def test_under_the_same_prices_only_quantity_and_tiers_change(
    tiers: list[dict[str, Any]], old: Decimal, new: Decimal
) -> None:
    def usage(quantity: Decimal) -> dict[str, Any]:
        exact = price_sets.amount(tiers, quantity)
        return {
            "line_id": "1", "line_type": "usage", "item_key": "cpu", "quantity": quantity, "amount_exact": exact,
            "amount": money.rounded(exact, "USD"), "currency": "USD",
        }  # fmt: skip

    changes = invoice_changes.split([usage(old)], [usage(new)], lambda _line: tiers)
    assert {change.effect for change in changes} <= {"quantity", "tier mix"}
    if len(tiers) == 1 and tiers[0]["pricing_model"] == "per_unit" and not tiers[0]["free_units"]:
        assert {change.effect for change in changes} <= {"quantity"}
    only_price = invoice_changes.split(
        [usage(old)], [{**usage(old), "amount": usage(old)["amount"] + 1}], lambda _line: tiers
    )
    assert [(change.effect, change.amount) for change in only_price] == [("price", Decimal(1))]


@pytest.mark.parametrize(
    ("model", "quantity", "expected"),
    [
        ("graduated", "0", "5"), ("graduated", "1000", "15"), ("graduated", "1000.000001", "15.000000008"),
        ("volume", "1000", "15"), ("volume", "1000.5", "8.004"), ("per_unit", "3", "0.03"),
        ("package", "100", "0.01"), ("package", "100.000001", "0.02"), ("package", "0", "0"),
    ],
)  # fmt: skip
def test_what_a_quantity_costs(model: str, quantity: str, expected: str) -> None:
    row = {"pricing_model": model, "package_size": Decimal(100), "free_units": None}
    first = {**row, "tier_up_to": Decimal(1000), "unit_price": Decimal("0.01"), "flat_fee": Decimal(5)}
    last = {**row, "tier_up_to": None, "unit_price": Decimal("0.008"), "flat_fee": None}
    single = {**row, "tier_up_to": None, "unit_price": Decimal("0.01"), "flat_fee": None}
    tiers = price_sets.in_order([last, first]) if model in ("graduated", "volume") else [single]
    assert price_sets.amount(tiers, Decimal(quantity)) == Decimal(expected)


def test_the_published_file_and_the_record_are_all_it_reads(book: Book) -> None:
    """The private warehouse may be away, or held by a night."""
    hidden = book.settings.warehouse.with_suffix(".hidden")
    book.settings.warehouse.rename(hidden)
    try:
        assert "DIFFERENCE" not in told(book, number(book, "acme", "2026-03-01"), events=True)
        assert not Path(book.settings.warehouse).exists()
    finally:
        hidden.rename(book.settings.warehouse)
