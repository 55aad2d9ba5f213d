"""A book of business with every pricing model, two currencies, late usage and a plan change, for operators' commands.

Its nights are derived by the compiled models of `billing_models`; so are the scratch warehouses of the commands.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
from billing_models import MARTS, Book, Models

from loompin.night import NightPlan
from loompin.scratch import Derive, Scratch

ACME = "00000000-0000-4000-8000-000000000001"
BETA = "00000000-0000-4000-8000-000000000002"
GAMMA = "00000000-0000-4000-8000-000000000003"
_SOURCES = ("cost_drivers", "price_entries", "tenants")
NIGHTS = (date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 2))

_ENTRY = (
    "id price_book item_key pricing_model tier_up_to unit_price flat_fee package_size free_units valid_from valid_to"
)
ENTRIES = [
    dict(zip(_ENTRY.split(), row.split(","), strict=True))
    for row in (
        "tok,Standard,tokens,per_unit,,0.010000,,,,2025-01-01,2026-02-01",
        "tok2,Standard,tokens,per_unit,,0.012000,,,,2026-02-01,",
        "sto1,Standard,storage,graduated,1000,0.010000,5,,100,2025-01-01,",
        "sto2,Standard,storage,graduated,,0.008000,,,100,2025-01-01,",
        "cpu1,Standard,cpu,volume,500,0.100000,,,,2025-01-01,",
        "cpu2,Standard,cpu,volume,,0.080000,,,,2025-01-01,",
        "sms,Standard,sms,package,,1.500000,,100,50,2025-01-01,",
        "etok,Euro,tokens,per_unit,,0.009000,,,,2025-01-01,",
        "eplan,Euro,plan:Pro,per_unit,,29,,,,2025-01-01,",
    )
]
BOOKS = [
    {"name": "Standard", "currency": "USD", "is_active": "true", "priority": "0"},
    {"name": "Euro", "currency": "EUR", "is_active": "true", "priority": "0"},
]


def subscription(number: str, tenant: str, plan: str, started_on: str, **more: str) -> dict[str, str]:
    """A subscription known from the first day of 2026."""
    return {
        "id": number, "tenant_id": tenant, "plan": plan, "currency": "USD", "started_on": started_on, "ended_on": "",
        "net_terms_days": "", "minimum_commitment": "", "received_at": "2026-01-01T00:00:00Z", **more,
    }  # fmt: skip


def event(tenant: str, driver: str, quantity: str, day: str, received: str = "") -> dict[str, str]:
    """A usage event at noon, received an hour later or at noon of another day."""
    number = hashlib.sha256(f"{tenant}{driver}{quantity}{day}{received}".encode()).hexdigest()[:12]
    return {
        "event_id": number, "tenant_id": tenant, "driver_key": driver, "quantity": quantity,
        "occurred_at": f"{day}T12:00:00Z", "received_at": f"{received or day}T13:00:00Z", "cancels_event_id": "",
    }  # fmt: skip


def write(book: Book) -> None:
    """Write the source files of the book."""
    book.write("tenants.csv", [
        {"id": tenant, "name": name, "plan": "Pro", "status": "active", "region": "eu", "slug": name.lower()}
        for tenant, name in ((ACME, "Acme"), (BETA, "Beta"), (GAMMA, "Gamma"))
    ])  # fmt: skip
    book.write("plans.csv", [
        {"id": "p1", "name": "Pro", "price_monthly": "31.00", "max_users": "1", "features": "{}"},
        {"id": "p2", "name": "Team", "price_monthly": "62.00", "max_users": "9", "features": "{}"},
    ])  # fmt: skip
    book.write("cost_drivers.csv", [
        {"driver_key": driver, "category": "AI", "unit_cost": "0.001", "unit_label": "units"}
        for driver in ("tokens", "storage", "cpu", "sms")
    ])  # fmt: skip
    book.write("price_books.csv", BOOKS)
    book.write("price_entries.csv", ENTRIES)
    book.write("subscriptions.csv", [
        subscription("a1", ACME, "Pro", "2026-01-01", ended_on="2026-03-11"),
        subscription("a2", ACME, "Team", "2026-03-11"),
        subscription("b1", BETA, "Pro", "2026-01-01", minimum_commitment="40"),
        subscription("g1", GAMMA, "Pro", "2026-01-01", currency="EUR"),
    ])  # fmt: skip
    book.write("usage_events.csv", [
        event(ACME, "tokens", "2000", "2026-01-10"), event(ACME, "tokens", "3000", "2026-02-10"),
        event(ACME, "tokens", "40", "2026-01-11", "2026-02-15"), event(ACME, "tokens", "2500", "2026-03-10"),
        event(ACME, "storage", "1350.5", "2026-01-10"), event(ACME, "storage", "900", "2026-02-10"),
        event(ACME, "cpu", "495", "2026-01-10"), event(ACME, "cpu", "510", "2026-02-10"),
        event(ACME, "sms", "120", "2026-01-20"), event(ACME, "sms", "260", "2026-02-20"),
        event(BETA, "cpu", "100", "2026-01-10"), event(BETA, "cpu", "120", "2026-02-10"),
        event(BETA, "cpu", "30", "2026-01-12", "2026-03-05"),
        event(GAMMA, "tokens", "10000", "2026-01-05"), event(GAMMA, "tokens", "9000", "2026-02-05"),
    ])  # fmt: skip


class PricedBook(Book):
    """A book whose published file also holds the source tables that `explain` reads."""

    marts = (*MARTS, *_SOURCES)

    def derive(self, plan: NightPlan) -> None:
        """Land a night and build the models of its warehouse, and those source tables as they are."""
        super().derive(plan)
        with contextlib.closing(duckdb.connect(str(plan.warehouse))) as connection:
            for table in _SOURCES:
                columns = "columns(lambda c: not starts_with(c, '_'))"
                connection.execute(f"create or replace table {table} as select {columns} from source.{table}")


def made(folder: Path, models: Models, nights: Sequence[date] = NIGHTS) -> Book:
    """The book with its nights completed and published."""
    book = PricedBook(folder, models)
    write(book)
    for night in nights:
        assert book.night(night) == []
    return book


def derive(models: Models) -> Derive:
    """What builds the models of a scratch warehouse, without dbt."""

    def build(scratch: Scratch, _models: Sequence[str]) -> None:
        with contextlib.closing(duckdb.connect(str(scratch.warehouse))) as connection:
            for schema in ("staging", "intermediate"):
                connection.execute(f"create schema if not exists {schema}")
            for model in models.models:
                model.build(connection)

    return build


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with the hash of what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
