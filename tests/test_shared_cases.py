"""The 102 cases restated from Lago, OpenMeter, Kill Bill and Stripe, from source files to published invoices and lines.

Each case is run with its own expected amounts, or with the amounts of our rules where these decide otherwise, or named
as out of scope. None is left out silently.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from billing_models import Book, Models, compiled
from shared_cases import Case, Check, Customer, Line, World, translate

from loompin import publish

CASES: dict[str, Case] = {
    case["id"]: case
    for case in json.loads((Path(__file__).parent / "reference" / "billing_cases.json").read_text(encoding="utf-8"))
}

NUMBERING = ("numbering-01", "numbering-04", "numbering-05")
"""Numbers need nights of their own: see the tests at the end."""

OTHERWISE: dict[str, tuple[str, dict[str, Any]]] = {
    "graduated-21": (
        "units are not rounded before they are priced: 7.4 units are 5 x 1 + 2.4 x 0.5",
        {"amount": "6.2"},
    ),
    "volume-30": (
        "a tier has a price a unit, not a price a started block: 101001 x 0.0005 = 50.5005",
        {"amount": "50.50"},
    ),
    "volume-33": (
        "a tier has a price a unit, not a price a started block: 15 x 10",
        {"amount": "150"},
    ),
    "proration-11": (
        "a month is a calendar month: 6 of February's 28 days and 14 of March's 31, of 1,000,000.00",
        {"amount": "665898.61"},
    ),
    "proration-12": (
        "a month is a calendar month: 7 of February's 29 days and 14 of March's 31, of 1,000,000.00",
        {"amount": "692992.21"},
    ),
    "proration-13": (
        "a month has its own number of days: 9 of May's 31 and 14 of June's 30, of 1,000,000.00",
        {"amount": "756989.25"},
    ),
    "proration-14": (
        "a month has its own number of days: 6 of February's 28 and 14 of March's 31, of 1,000,000.00",
        {"amount": "665898.61"},
    ),
    "proration-21": (
        "a month is a calendar month, each fee a line: 3 of April's 30 days and 24 of May's 31, of 5 and of 20",
        {"amount": "21.85"},
    ),
    "rounding-27": (
        "no amount is shared out: each of three lines of 1 x 0.016667 is rounded on its own",
        {"allocations": {"A": "0.02", "B": "0.02", "C": "0.02"}},
    ),
    "rounding-33": (
        "no amount is shared out: each of three lines of 1 x 0.016667 is rounded on its own",
        {"allocations": {"A": "0.02", "B": "0.02", "C": "0.02"}},
    ),
    "late-08": (
        "final with the night of its date, without days of grace: what comes on 2 February is an adjustment of 1 March",
        {"amount": "10", "date": "2026-03-01"},
    ),
    "credit-01": ("taxes are out of scope; the amount without tax is credited", {"subtotal_minor": "19333"}),
    "credit-02": ("taxes are out of scope; the amount without tax is credited", {"subtotal_minor": "15467"}),
    "credit-09": (
        "lines that sum below 0 open a credit note, and the invoice is 0.00: a note of 15.00",
        {"invoice_balance": "-15.00", "lines_emitted": ["13.00", "-10.00", "-18.00"]},
    ),
    "numbering-02": ("a night that fails uses up no number: the next is the first again", {}),
    "numbering-03": (
        "one sequence for all tenants, in the order of night, slug and currency; numbers by customer are out of scope",
        {"run1": ["001", "002", "003"], "run2": ["004", "005", "006"], "run3": ["007", "008", "009"]},
    ),
}  # fmt: skip
"""Cases that our rules decide otherwise: why, and what these give instead, which is asserted."""

OUT_OF_SCOPE: dict[str, str] = {
    **dict.fromkeys(
        (f"percentage-{number}" for number in ("02", "03", "05", "09", "10", "11", "15")),
        "prices that are a percentage of an amount",
    ),
    "proration-04": "weeks",
    "proration-07": "quarters",
    "proration-08": "quarters",
    **dict.fromkeys(
        ("rounding-06", "rounding-07", "rounding-08", "rounding-14", "rounding-19", "rounding-21", "rounding-22",
         "rounding-25"),
        "units that are rounded before they are priced",
    ),
    **dict.fromkeys(("commitment-08", "commitment-10", "commitment-11"), "a maximum"),
    "commitment-09": "a maximum and a discount",
    "credit-03": "taxes and weeks",
    **dict.fromkeys(("credit-04", "credit-05", "credit-06", "credit-07", "credit-08"), "taxes"),
}  # fmt: skip
"""Cases that are about something which is not billed for now."""

OF_NIGHTS = (*NUMBERING, "numbering-02", "numbering-03")
RUN = [identity for identity in CASES if identity not in OUT_OF_SCOPE and identity not in OF_NIGHTS]


def asked(identity: str) -> Case:
    """A case with what it expects of us."""
    case = CASES[identity]
    return {**case, "expected": OTHERWISE[identity][1]} if identity in OTHERWISE else case


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


@pytest.fixture(scope="module")
def answers(models: Models, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Check], dict[str, list[Line]]]:
    """How each case is looked at, and its published lines, with dates and tiers."""
    world = World()
    checks = {identity: translate(world, asked(identity)) for identity in RUN}
    book = Book(tmp_path_factory.mktemp("cases"), models)
    for table, rows in world.tables.items():
        book.write(f"{table}.csv", rows)
    book.run(date(2026, 4, 2))
    assert book.broken_laws() == []
    tiers = defaultdict(list)
    for tier in book.ask("select * from invoice_line_tiers"):
        tiers[tier["line_id"]].append(tier)
    found: dict[str, list[Line]] = defaultdict(list)
    asking = "select l.*, i.date from invoice_lines as l left join invoices as i on i.id = l.invoice_id"
    for line in book.ask(asking):
        identity = "-".join(line["tenant_slug"].split("_")[:2])
        found[identity].append({**line, "date": line["date"] or date.max, "tiers": tiers[line["line_id"]]})
    return checks, found


def test_no_case_is_left_out() -> None:
    named = [*RUN, *OF_NIGHTS, *OUT_OF_SCOPE]
    assert sorted(named) == sorted(CASES)
    assert len(named) == 102
    assert set(OTHERWISE) <= {*RUN, *OF_NIGHTS}


@pytest.mark.parametrize("identity", RUN)
def test_the_case_comes_out(identity: str, answers: tuple[dict[str, Check], dict[str, list[Line]]]) -> None:
    checks, found = answers
    checks[identity](found[identity])


# -- numbers -----------------------------------------------------------------------------------------------------------


class Fleet:
    """Tenants that are billed for usage only, so that a test says who gets an invoice in which month."""

    def __init__(self, folder: Path, models: Models) -> None:
        self.world = World()
        self.book = Book(folder, models)
        self.tenants: dict[str, tuple[Customer, str]] = {}

    def bill(self, name: str, day: str) -> None:
        """Let a tenant use something on a day."""
        if name not in self.tenants:
            customer = Customer(self.world, name, "USD")
            customer.subscribe("2026-01-01", "")
            self.tenants[name] = customer, customer.price(customer.item(), "1")
        customer, item = self.tenants[name]
        customer.use(item, "1", day)

    def night(self, day: str) -> None:
        """Run a night on all that is there by now."""
        for table, rows in self.world.tables.items():
            self.book.write(f"{table}.csv", rows)
        self.book.run(date.fromisoformat(day))

    def numbers(self, day: str) -> list[str]:
        """The numbers of the invoices of a date, in the order of tenants."""
        found = self.book.ask(f"select id from invoices where date = '{day}' order by tenant_slug, currency")
        return [row["id"].removeprefix("INV-24-") for row in found]


def test_a_night_that_fails_uses_up_no_number(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """numbering-01, numbering-02."""
    fleet = Fleet(tmp_path, models)
    for name in ("a", "b"):
        fleet.bill(name, "2026-01-10")
    with monkeypatch.context() as broken:
        broken.setattr(publish, "put", lambda built: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fleet.night("2026-02-01")
    fleet.night("2026-02-01")
    allocated = CASES["numbering-01"]["expected"]["allocated"]
    assert fleet.numbers("2026-02-01") == [f"{int(number.rsplit('-')[-1]):03d}" for number in allocated]


def test_one_sequence_for_all_tenants(models: Models, tmp_path: Path) -> None:
    """numbering-03."""
    fleet = Fleet(tmp_path, models)
    for month in ("01", "02", "03"):
        for name in ("c", "a", "b"):
            fleet.bill(name, f"2026-{month}-10")
    fleet.night("2026-04-01")
    expected = OTHERWISE["numbering-03"][1]
    assert [fleet.numbers(f"2026-{month}-01") for month in ("02", "03", "04")] == list(expected.values())


def test_numbers_go_on_and_drafts_have_none(models: Models, tmp_path: Path) -> None:
    """numbering-04, then numbering-05: nine invoices, three, two, then one while another is a draft."""
    fleet = Fleet(tmp_path, models)
    for place in range(CASES["numbering-04"]["input"]["existing_invoices"]):
        fleet.bill(f"first_{place}", "2026-01-10")
    for place in range(CASES["numbering-04"]["input"]["new"]):
        fleet.bill(f"then_{place}", "2026-02-10")
    fleet.night("2026-03-02")
    wanted = CASES["numbering-04"]["expected"]["numbers"]
    assert fleet.numbers("2026-03-01") == [number.rsplit("-", 1)[-1] for number in wanted]
    for name in ("x", "y"):
        fleet.bill(name, "2026-03-10")
    fleet.bill("a", "2026-04-10")
    fleet.bill("b", "2026-05-10")
    fleet.night("2026-05-20")
    expected = CASES["numbering-05"]["expected"]
    assert fleet.numbers("2026-05-01") == [expected["A"]]
    assert [row["tenant_slug"] for row in fleet.book.ask("select tenant_slug from invoice_drafts")] == ["b"]
    assert fleet.book.ask("select id from invoices where tenant_slug = 'b'") == []
    fleet.night("2026-06-01")
    assert fleet.numbers("2026-06-01") == [expected["B"]]
