"""The shared billing cases as source rows: one tenant, item and book of its own a case, so that all run in one night.

Each translation puts the input of a case into rows of the source tables and says which facts of the published lines
answer it. What the cases are, which of them BILLING.md decides otherwise, and the run are in test_shared_cases.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

Case = dict[str, Any]
Line = dict[str, Any]
Check = Callable[[list[Line]], None]
JANUARY = "2026-01-01"
FEBRUARY = "2026-02-01"
MARCH = "2026-03-01"


@dataclass
class World:
    """Source rows of all cases by table."""

    tables: dict[str, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.plan("Free", "0.00")
        self.count = 0

    def plan(self, name: str, price: str) -> str:
        """A plan with a price in US dollars."""
        self.tables["plans"].append({"name": name, "price_monthly": price, "max_users": "1", "features": "[]"})
        return name

    def customer(self, case: Case, more: str = "", currency: str = "USD") -> Customer:
        """A tenant of a case."""
        return Customer(self, case["id"].replace("-", "_") + more, currency)


@dataclass
class Customer:
    """A tenant with a price book that nobody else has."""

    world: World
    slug: str
    currency: str

    def __post_init__(self) -> None:
        tables = self.world.tables
        tables["tenants"].append({
            "id": f"id-{self.slug}", "name": self.slug, "plan": "Free", "status": "active", "region": "r",
            "slug": self.slug,
        })  # fmt: skip
        tables["price_books"].append(
            {"name": f"book {self.slug}", "currency": self.currency, "is_active": "true", "priority": "10"}
        )
        tables["price_book_assignments"].append(
            {"tenant_id": self.slug, "price_book": f"book {self.slug}", "valid_from": "2000-01-01", "valid_to": ""}
        )
        if self.currency != "USD":
            self.price("plan:Free", "0")

    def price(self, item: str, unit_price: str, model: str = "per_unit", **more: str) -> str:
        """One tier of a price in the tenant's own book; the item is returned."""
        self.world.count += 1
        self.world.tables["price_entries"].append({
            "id": f"e{self.world.count}", "price_book": f"book {self.slug}", "item_key": item, "pricing_model": model,
            "tier_up_to": "", "unit_price": unit_price, "flat_fee": "", "package_size": "", "free_units": "",
            "valid_from": "2000-01-01", "valid_to": "", **more,
        })  # fmt: skip
        return item

    def item(self, name: str = "item") -> str:
        """A cost driver of its own."""
        key = f"{self.slug}.{name}"
        self.world.tables["cost_drivers"].append(
            {"driver_key": key, "category": "x", "unit_cost": "0.01", "unit_label": "unit"}
        )
        return key

    def subscribe(self, start: str = JANUARY, end: str = FEBRUARY, plan: str = "Free", **more: str) -> dict[str, str]:
        """A subscription; `end` is the first day not covered."""
        self.world.count += 1
        row = {
            "id": f"s{self.world.count}", "tenant_id": self.slug, "plan": plan, "currency": self.currency,
            "started_on": start, "ended_on": end, "net_terms_days": "", "minimum_commitment": "", "received_at": "",
            **more,
        }  # fmt: skip
        self.world.tables["subscriptions"].append(row)
        return row

    def fee(self, name: str, price: str) -> str:
        """A plan with a price in the tenant's currency."""
        plan = self.world.plan(f"{self.slug} {name}", price if self.currency == "USD" else "")
        if self.currency != "USD":
            self.price(f"plan:{plan}", price)
        return plan

    def use(self, item: str, quantity: str, day: str = "2026-01-10", received: str = "", **more: str) -> None:
        """A usage event; received on its day unless told otherwise."""
        self.world.count += 1
        if Fraction(quantity) == 0 and not more:
            return
        self.world.tables["usage_events"].append({
            "event_id": f"u{self.world.count}", "tenant_id": self.slug, "driver_key": item, "quantity": quantity,
            "occurred_at": f"{day}T12:00:00Z", "received_at": f"{received or day}T13:00:00Z", "cancels_event_id": "",
            **more,
        })  # fmt: skip


def of(lines: list[Line], *kinds: str) -> list[Line]:
    """Lines of some types, the first date first."""
    return sorted(
        (line for line in lines if line["line_type"] in kinds), key=lambda line: (line["date"], line["item_key"])
    )


def total(lines: list[Line], *kinds: str) -> Fraction:
    """What lines of some types amount to, rounded as they are."""
    return sum((Fraction(line["amount"]) for line in of(lines, *kinds)), Fraction(0))


def amounts(lines: list[Line], *kinds: str) -> list[Fraction]:
    """The amounts of lines of some types."""
    return [Fraction(line["amount"]) for line in of(lines, *kinds)]


USAGE = ("usage", "adjustment")
FEES = ("subscription", "proration")


# -- prices ------------------------------------------------------------------------------------------------------------


def tiers(case: Case) -> list[dict[str, str]]:
    """The tiers of a case; blocks become tiers of as many units, each at the price of a unit of its block."""
    given = case["input"]
    if "tiers" in given:
        return [
            {"tier_up_to": tier["up_to"] or "", "unit_price": tier["unit_amount"], "flat_fee": tier["flat_amount"]}
            for tier in given["tiers"]
        ]
    found, bound = [], 0
    for place, block in enumerate(given["blocks"], 1):
        bound += int(block["size"]) * int(block["max_blocks"])
        price = Fraction(block["price"]) / int(block["size"])
        last = place == len(given["blocks"])
        found.append({"tier_up_to": "" if last else str(bound), "unit_price": str(float(price)), "flat_fee": ""})
    return found


def tiered(world: World, case: Case) -> Check:
    """Units under graduated or volume tiers; units that came before are billed first."""
    given, customer = case["input"], world.customer(case)
    item = customer.item()
    for tier in tiers(case):
        customer.price(item, tier.pop("unit_price"), case["kind"], **tier)
    customer.subscribe()
    before, units = given.get("units_before"), given.get("units")
    if units is None:
        units = str(float(Fraction(given["raw_units"]) / Fraction(given["unit_divisor"])))
    if before:
        customer.use(item, before)
    customer.use(item, units, received="2026-02-10" if before else "")
    asked = "adjustment" if before else "usage"

    def check(lines: list[Line]) -> None:
        assert total(lines, asked) == Fraction(case["expected"]["amount"])
        for told in case["expected"].get("lines", []):
            [line] = of(lines, asked)
            tier = next(tier for tier in line["tiers"] if tier["tier"] == told["tier"])
            flat = Fraction(tier["flat_fee"] or 0)
            amount = Fraction(tier["amount_exact"])
            assert (flat if told.get("kind") == "flat" else amount - flat) == Fraction(told["amount"])
            if "units" in told:
                assert Fraction(tier["units"]) == Fraction(told["units"])

    return check


def package(world: World, case: Case) -> Check:
    """Units in packages."""
    given, customer = case["input"], world.customer(case)
    item = customer.price(
        customer.item(), given["package_amount"], "package", package_size=given["package_size"],
        free_units=given.get("free_units", ""),
    )  # fmt: skip
    customer.subscribe()
    before = given.get("units_before")
    if before:
        customer.use(item, before)
    customer.use(item, given["units"], received="2026-02-10" if before else "")

    def check(lines: list[Line]) -> None:
        assert total(lines, "adjustment" if before else "usage") == Fraction(case["expected"]["amount"])

    return check


def rounding(world: World, case: Case) -> Check:
    """An amount, or a price and units, whose exact amount is rounded once."""
    given, expected = case["input"], case["expected"]
    customer = world.customer(case, currency=given["currency"])
    if "amount" in given:
        item, units = customer.price(customer.item(), "0.000001"), str(float(Fraction(given["amount"]) * 10**6))
    else:
        item, units = customer.price(customer.item(), given["unit_price"]), given["units"]
    customer.subscribe()
    customer.use(item, units)

    def check(lines: list[Line]) -> None:
        # No further line on later dates: what is rounded is compared with what was billed.
        assert amounts(lines, *USAGE) == [Fraction(expected.get("amount") or expected["rounded_amount"])]
        [line] = of(lines, "usage")
        if "precise" in expected or "amount" in given:
            assert Fraction(line["amount_exact"]) == Fraction(expected.get("precise") or given["amount"])

    return check


def allocation(world: World, case: Case) -> Check:
    """Shares of an amount: one item a share, each line rounded on its own."""
    given, customer = case["input"], world.customer(case)
    weights = dict(given.get("weights_ordered", [])) or given["weights"]
    price = Fraction(given["allocate"]) / sum(Fraction(weight) for weight in weights.values())
    customer.subscribe()
    for name, weight in weights.items():
        customer.use(customer.price(customer.item(name), f"{float(price):.6f}"), weight)

    def check(lines: list[Line]) -> None:
        found = {line["item_key"].split(".")[1]: Fraction(line["amount"]) for line in of(lines, "usage")}
        assert found == {name: Fraction(amount) for name, amount in case["expected"]["allocations"].items()}

    return check


# -- fees --------------------------------------------------------------------------------------------------------------


def proration(world: World, case: Case) -> Check:
    """Days of one or more monthly prices."""
    given, expected = case["input"], case["expected"]
    currency = given.get("currency", "USD")
    minor = currency != "JPY" and "price_minor" in given
    price = Fraction(given["price_minor"]) / 100 if minor else Fraction(given.get("price", "1000000"))
    end = given.get("service_to_exclusive") or str(
        date.fromisoformat(given["service_to_inclusive"]) + timedelta(days=1)
    )
    for place, told in enumerate(given.get("prices", [str(float(price))])):
        customer = world.customer(case, f"_{place}", currency)
        customer.subscribe(given["service_from"], end, customer.fee("fee", told))

    def check(lines: list[Line]) -> None:
        wanted = Fraction(expected["minor"]) / 100 if "minor" in expected else Fraction(expected["amount"])
        assert total(lines, *FEES) == wanted
        if "precise" in expected:
            exact = sum(Fraction(line["amount_exact"]) for line in of(lines, *FEES))
            assert abs(exact * 100 - Fraction(expected["precise"])) < Fraction(1, 10**9)

    return check


def upgrade(world: World, case: Case) -> Check:
    """A change of plan in the middle of June, a month of 30 days."""
    given, customer = case["input"], world.customer(case)
    customer.subscribe("2025-06-01", "2025-06-16", customer.fee("old", given["old_price"]))
    customer.subscribe("2025-06-16", "2025-07-01", customer.fee("new", given["new_price"]))

    def check(lines: list[Line]) -> None:
        found = of(lines, "proration")
        assert sorted(Fraction(line["amount"]) for line in found) == [
            Fraction(amount) for amount in case["expected"]["lines"]
        ]
        assert total(lines, "proration") == Fraction(case["expected"]["amount"])

    return check


def commitment(world: World, case: Case) -> Check:
    """A minimum for the whole of January."""
    given, expected, customer = case["input"], case["expected"], world.customer(case)
    scale = 100 if "minimum_minor" in given else 1
    minimum = Fraction(given.get("minimum_minor") or given["minimum"]) / scale
    used = Fraction(given.get("usage_minor") or given["usage_amount"]) / scale + Fraction(
        given.get("already_billed", 0)
    )
    item = customer.price(customer.item(), "1")
    customer.subscribe(minimum_commitment=f"{float(minimum):.2f}")
    customer.use(item, str(float(used)))

    def check(lines: list[Line]) -> None:
        rest = Fraction(expected.get("true_up_minor") or expected["true_up"]) / scale
        assert amounts(lines, "minimum") == [rest]
        assert total(lines, "usage", "minimum") == Fraction(expected.get("total") or minimum)

    return check


def unused(world: World, case: Case) -> Check:
    """A month's fee, credited but for its used days; June has 30. Tax is left out: the subtotal is the credit."""
    given, customer = case["input"], world.customer(case)
    price = Fraction(given["invoice_subtotal_minor"]) / 100
    used = given["days_in_period"] - given["days_unused"]
    customer.subscribe("2025-06-01", f"2025-06-{used + 1:02d}", customer.fee("fee", f"{float(price):.2f}"))

    def check(lines: list[Line]) -> None:
        assert total(lines, "proration") == -Fraction(case["expected"]["subtotal_minor"]) / 100
        assert total(lines, "credit") == Fraction(case["expected"]["subtotal_minor"]) / 100

    return check


def repair(world: World, case: Case) -> Check:
    """Fees of three past months are restated: one stays as it was, one is another plan's, one was never owed."""
    same, old, gone = (Fraction(amount) for amount in case["input"]["reversals"])
    customer = world.customer(case)
    fees = {amount: customer.fee(str(amount), f"{float(amount):.2f}") for amount in (-same, -old, -gone, Fraction(13))}
    restated = {"received_at": "2025-06-10T00:00:00Z"}
    kept = customer.subscribe("2025-03-01", "2025-04-01", fees[-same])
    changed = customer.subscribe("2025-04-01", "2025-05-01", fees[-old])
    ended = customer.subscribe("2025-05-01", "2025-06-01", fees[-gone])
    world.tables["subscriptions"] += [
        {**kept, **restated, "net_terms_days": "10"},
        {**changed, **restated, "plan": fees[Fraction(case["input"]["new_charges"][1])]},
        {**ended, **restated, "ended_on": "2025-05-01"},
    ]

    def check(lines: list[Line]) -> None:
        corrected = [line for line in lines if line["date"] == date(2025, 7, 1)]
        assert sorted(amounts(corrected, "proration")) == sorted(
            Fraction(amount) for amount in case["expected"]["lines_emitted"]
        )
        # What is owed to the tenant is a credit note, and the invoice 0.00.
        assert amounts(corrected, "credit") == [-Fraction(case["expected"]["invoice_balance"])]

    return check


# -- usage -------------------------------------------------------------------------------------------------------------


def duplicate(world: World, case: Case) -> Check:
    """An id that is seen twice: of one tenant, or of two (what a subscription is there, a tenant is here)."""
    first, second = case["input"]["events"]
    two = first.get("sub") != second.get("sub")
    customers = [world.customer(case, "_a"), world.customer(case, "_b")] if two else [world.customer(case, "_a")]
    items = [customer.price(customer.item(), "1") for customer in customers]
    if first.get("region"):
        items.append(customers[0].price(customers[0].item("us"), "1"))
    for customer in customers:
        customer.subscribe()
    units = ("1", "1") if first.get("region") or two else ("1", "5")
    for place, (customer, item) in enumerate(zip((customers * 2)[:2], (items * 2)[:2], strict=True)):
        customer.use(item, units[place], received=f"2026-01-1{place}", event_id="same")
    accepted = case["expected"].get("accepted")
    counted = len(accepted) if accepted else case["expected"]["counted_total"]

    def check(lines: list[Line]) -> None:
        # The first counts 1; the second would count 1 for another tenant, another figure for the same one.
        assert sum(Fraction(line["quantity"]) for line in of(lines, *USAGE)) == counted

    return check


def late_periods(world: World, case: Case) -> Check:
    """late-04: 5 units in January, 2 more of them late, 3 in February."""
    first, second = (run["cumulative_by_period"] for run in case["input"]["runs"])
    customer = world.customer(case)
    item = customer.price(customer.item(), case["input"]["unit_price"])
    customer.subscribe(end=MARCH)
    customer.use(item, first[0])
    customer.use(item, str(int(second[0]) - int(first[0])), received="2026-02-10")
    customer.use(item, str(int(second[1]) - int(second[0])), "2026-02-12")

    def check(lines: list[Line]) -> None:
        runs = [
            [line for line in of(lines, *USAGE) if line["date"] == day] for day in (date(2026, 2, 1), date(2026, 3, 1))
        ]
        assert [total(run, *USAGE) for run in runs] == [Fraction(amount) for amount in case["expected"]["run_totals"]]
        [line] = runs[0]
        found = sorted(runs[1], key=lambda line: line["service_from"])
        assert [(Fraction(line["quantity"]), Fraction(line["amount"])) for line in found] == [
            (Fraction(told["units"]), Fraction(told["amount"])) for told in case["expected"]["run2_lines"]
        ]
        assert [told["corrects_line_id"] for told in found] == [line["line_id"], None]

    return check


def late_month(world: World, case: Case) -> Check:
    """late-05: a month without usage, then usage of it beside that of two months later."""
    given, customer = case["input"], world.customer(case)
    item = customer.price(customer.item(), given["package_amount"], "package", package_size=given["package_size"])
    customer.subscribe("2012-05-01", "2012-08-01")
    customer.use(item, given["late_event"]["units"], given["late_event"]["date"], "2012-07-10")
    customer.use(item, given["current_period_units"], "2012-07-10")

    def check(lines: list[Line]) -> None:
        found = sorted(of(lines, *USAGE), key=lambda line: line["service_from"])
        assert [
            {"period": f"{line['service_from']}/{line['service_to']}", "amount": Fraction(line["amount"])}
            for line in found
        ] == [{**told, "amount": Fraction(told["amount"])} for told in case["expected"]["next_invoice_lines"]]
        assert {str(line["date"]) for line in found} == {given["next_run"]}
        assert total(lines, *USAGE) == Fraction(case["expected"]["total"])

    return check


def late_packages(world: World, case: Case) -> Check:
    """late-07: one package of each month was billed; the rest of the units came late."""
    given = case["input"]
    for place, period in enumerate(given["periods"]):
        customer = world.customer(case, f"_{place}")
        item = customer.price(customer.item(), given["package_amount"], "package", package_size=given["package_size"])
        customer.subscribe()
        assert period["already_billed"] == given["package_amount"]
        customer.use(item, "1")
        customer.use(item, str(int(period["units"]) - 1), received="2026-02-10")

    def check(lines: list[Line]) -> None:
        found = sorted(of(lines, "adjustment"), key=lambda line: str(line["item_key"]))
        assert [Fraction(line["amount"]) for line in found] == [
            Fraction(told) for told in case["expected"]["delta_to_bill"]
        ]

    return check


def grace(world: World, case: Case) -> Check:
    """late-08: usage of 11 January that is received on 2 February."""
    customer = world.customer(case)
    customer.subscribe()
    customer.use(customer.price(customer.item(), "10"), "1", "2026-01-11", "2026-02-02")

    def check(lines: list[Line]) -> None:
        [line] = of(lines, *USAGE)
        assert (line["line_type"], str(line["date"]), Fraction(line["amount"])) == (
            "adjustment", case["expected"]["date"], Fraction(case["expected"]["amount"])
        )  # fmt: skip

    return check


TRANSLATIONS: dict[str, Callable[[World, Case], Check]] = {
    "graduated": tiered, "volume": tiered, "package": package, "proration": proration, "rounding": rounding,
    "commitment": commitment, "dedupe": duplicate, "proration-28": upgrade, "rounding-26": allocation,
    "rounding-27": allocation, "rounding-33": allocation, "late-04": late_periods, "late-05": late_month,
    "late-07": late_packages, "late-08": grace, "credit-01": unused, "credit-02": unused, "credit-09": repair,
}  # fmt: skip


def translate(world: World, case: Case) -> Check:
    """Put a case into the world; what it gives back looks at the case's lines."""
    return (TRANSLATIONS.get(case["id"]) or TRANSLATIONS[case["kind"]])(world, case)
