"""Nights of a small book of business that can be killed: landed, derived, published and billed in a child process.

A child is forked from a process that has loaded everything and holds nothing, so that it begins at once. It derives the
compiled models of billing without dbt; everything else is what a night runs. How a home is compared with one that was
never disturbed stands here, too; which kills are tried is the callers' affair.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from billing_models import MARTS, Book, Models

from loompin import invoice_pdfs
from loompin import night as nights
from loompin.lock import home_lock
from loompin.publish import RUN_TABLES

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["kill_home"])

Row = dict[str, str]
NIGHTS = (date(2026, 1, 31), date(2026, 2, 1), date(2026, 3, 1))
"""An open month, its close, and the next close with late, cancelled and corrected rows."""

TENANTS = {
    f"00000000-0000-4000-8000-00000000000{number}": slug for number, slug in enumerate(("alfa", "bravo", "zulu"))
}
_CURRENCIES = {"alfa": "USD", "bravo": "EUR", "zulu": "JPY"}


class Killed(Exception):
    """A child was killed before it had done its work."""


@dataclass
class Kill:
    """When a child is killed: at a rename to a file whose path fits `target`, before or after it, or after `seconds`.

    A rename is the moment at which a file comes to stand. `times` says which of the renames that fit. Seconds are those
    of the processor, so that it does not matter what else the machine does.
    """

    target: str = ""
    times: int = 1
    after: bool = False
    seconds: float = 0.0


def files_of(night: date) -> dict[str, list[Row]]:
    """The source files that are new on a night of `NIGHTS`."""
    if night == NIGHTS[0]:
        return _base()
    if night == NIGHTS[1]:
        # Received in January, brought late; one is held back.
        return {"usage_events/b.csv": [_use("alfa", n, "2026-01-30", "2026-01-31") for n in range(100, 140)]
                + [_use("bravo", 141, "2026-01-30", "2026-01-31", quantity="many")]}  # fmt: skip
    return {
        "usage_events/c.csv": [
            *(_use(slug, n, "2026-02-10", "2026-02-10") for slug in TENANTS.values() for n in range(200, 220)),
            _use("alfa", 230, "2026-01-20", "2026-02-20"),
            _use("alfa", 231, "2026-01-05", "2026-02-21", cancels="alfa_3"),
        ],
        "usage_events/b.csv": [_use("alfa", n, "2026-01-30", "2026-01-31") for n in range(100, 140)]
        + [_use("bravo", 141, "2026-01-30", "2026-01-31", quantity="7")],
        "payments.csv": [
            {"id": "p1", "invoice_id": "INV-24-001", "amount": "49.00", "currency": "USD",
             "paid_at": "2026-02-05T08:00:00Z"},
        ],
    }  # fmt: skip


def prepare(home: Path, models: Models, night: date) -> Book:
    """A home ready for a night: its new files stand in the source folder."""
    book = Book(home, models)
    for file, rows in files_of(night).items():
        book.write(file, rows)
    return book


@dataclass
class Undisturbed:
    """The homes before and after a night that nobody disturbed, and its seconds of the processor."""

    before: Path
    after: Path
    seconds: float


def undisturbed(folder: Path, models: Models) -> dict[date, Undisturbed]:
    """Each of `NIGHTS`, undisturbed, one after the other."""
    found = {}
    before = folder / "before-0"
    before.mkdir(parents=True)
    for number, night in enumerate(NIGHTS):
        after = folder / f"before-{number + 1}"
        shutil.copytree(before, after)
        prepare(after, models, night)
        found[night] = Undisturbed(before, after, run(after, models, night))
        before = after
    return found


def run(home: Path, models: Models, night: date, kill: Kill | None = None) -> float:
    """Run a night in a child process; its seconds of the processor.

    Raises:
        Killed: the child was killed as `kill` says.
        AssertionError: it failed.
    """
    used = _processes.Value("d", 0.0)
    child = _processes.Process(target=_child, args=(home, models, night, kill, used))
    child.start()
    if kill is not None and kill.seconds:
        assert child.pid is not None
        while child.is_alive() and cpu_seconds(child.pid) < kill.seconds:
            time.sleep(0.002)
        child.kill()
    child.join()
    if child.exitcode == -signal.SIGKILL:
        raise Killed
    assert child.exitcode == 0, f"the night {night} failed; the child's traceback says why"
    return float(used.value)


def cpu_seconds(process: int) -> float:
    """What a process and those that it started have used of the processor (Linux)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(cpu_seconds(int(child)) for child in children)


def check_whole(home: Path) -> None:
    """What a reader may find at any moment, also right after a kill: one night whole, and whole PDFs."""
    published = home / "home" / "published" / "analytics.duckdb"
    if published.exists():
        with _opened(published) as connection:
            found = connection.execute(
                "select (select count(*) from data_as_of), count(*), count(distinct id) from invoices"
            ).fetchone()
            assert found is not None
            assert found[0] == 1
            assert found[1] == found[2]
    for path in (home / "home" / "invoices").glob("*.pdf"):
        content = path.read_bytes()
        assert content.startswith(b"%PDF-"), path
        assert content.rstrip().endswith(b"%%EOF"), path


def differences(one: Path, other: Path) -> list[str]:
    """In what two homes differ: record, landed rows, published tables, invoices' hashes, files of events, PDFs."""
    found = []
    for what, told in (("record", _record), ("landed files", _landed), ("PDFs", _pdfs), ("files of events", _events)):
        left, right = told(one / "home"), told(other / "home")
        found += [f"{what}: {name}" for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name)]
    found += [f"table {table}" for table in _tables_that_differ(one / "home", other / "home")]
    return found + [f"left behind: {name}" for name in left_behind(other / "home")]


def left_behind(home: Path) -> list[str]:
    """Files that no finished night leaves."""
    kept = [path for name in ("published", "invoices") for path in (home / name).rglob(".*")]
    kept += list((home / "raw" / "nights").glob("*pending*")) + list((home / "raw" / "nights").glob(".*"))
    return sorted(str(path.relative_to(home)) for path in kept)


# -- inside ----------------------------------------------------------------------------------------------------------


def _child(home: Path, models: Models, night: date, kill: Kill | None, used: Any) -> None:
    if kill is not None and kill.target:
        _die_at(kill)
    _night(Book(home, models), night)
    used.value = time.process_time()


def _die_at(kill: Kill) -> None:
    seen, this = 0, os.getpid()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "os.kill":
            return
        # The first event after the rename, whatever it is: it has been done by then.
        if kill.after and seen >= kill.times:
            os.kill(this, signal.SIGKILL)
        if event == "os.rename" and fnmatch.fnmatch(os.fspath(arguments[1]), kill.target):
            seen += 1
            if not kill.after and seen == kill.times:
                os.kill(this, signal.SIGKILL)

    sys.addaudithook(watch)


def _night(book: Book, night: date) -> None:
    """One night as the command line runs it, but for Dagster and dbt."""
    with home_lock(book.settings, "a night of the tests"):
        plan = nights.plan(book.settings, night)
        if not nights.is_complete(book.settings, plan):
            book.derive(plan)
            assert book.broken_laws() == []
            nights.publish(book.settings, plan, f"run of {night}", expected=MARTS)
        invoice_pdfs.make(book.settings)


@contextlib.contextmanager
def _opened(file: Path) -> Any:
    """A file read through a copy: DuckDB keeps one instance a path and process."""
    alias = file.with_name(f"copy-{os.getpid()}-{time.monotonic_ns()}.duckdb")
    os.link(file, alias)
    try:
        with contextlib.closing(duckdb.connect(str(alias), read_only=True)) as connection:
            yield connection
    finally:
        alias.unlink()


def _record(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted((home / "raw" / "nights").iterdir()):
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            # Real nights have run ids of their own, and the commit may have moved on.
            found[path.name] = {key: value for key, value in content.items() if key not in ("run_id", "code_version")}
        else:
            found[path.name] = _rows(path)
    return found


def _landed(home: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(home)): _rows(path) if path.suffix == ".parquet" else path.read_text(encoding="utf-8")
        for path in sorted((home / "raw").glob("*/*"))
        if path.parent.name != "nights" and path.is_file()
    }


def _pdfs(home: Path) -> dict[str, str]:
    folder = home / "invoices"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def _events(home: Path) -> dict[str, Any]:
    folder = home / "published" / "invoice_line_events"
    return {path.name: _rows(path) if path.suffix == ".parquet" else path.read_text() for path in folder.glob("*")}


def _rows(parquet: Path) -> Any:
    with contextlib.closing(duckdb.connect()) as connection:
        return connection.execute(
            "select count(*), sum(cast(hash(t) as hugeint)) from read_parquet(?) as t", [str(parquet)]
        ).fetchone()


def _tables_that_differ(one: Path, other: Path) -> list[str]:
    digests = []
    for home in (one, other):
        with _opened(home / "published" / "analytics.duckdb") as connection:
            tables = [
                name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()
                if name not in RUN_TABLES
            ]  # fmt: skip
            digests.append({
                table: connection.execute(
                    f'select count(*), sum(cast(hash(t) as hugeint)) from "{table}" as t'
                ).fetchone()
                for table in tables
            })  # fmt: skip
    left, right = digests
    return sorted(table for table in left.keys() | right.keys() if left.get(table) != right.get(table))


def _use(slug: str, number: int, occurred: str, received: str, quantity: str = "", cancels: str = "") -> Row:
    return {
        "event_id": f"{slug}_{number}", "tenant_id": slug, "driver_key": "gpu" if cancels or number % 2 else "cpu",
        "quantity": quantity or f"{number * 7 % 23 + 1}.5", "occurred_at": f"{occurred}T10:00:00Z",
        "received_at": f"{received}T11:00:00Z", "cancels_event_id": cancels,
    }  # fmt: skip


def _base() -> dict[str, list[Row]]:
    chance = random.Random(20260131)
    days = [f"2026-01-{day:02}" for day in range(1, 31)]
    entries = [
        {"id": f"{currency}_{item}_{tier}", "price_book": f"Open {currency}", "item_key": item, "pricing_model": model,
         "tier_up_to": bound, "unit_price": price, "flat_fee": "", "package_size": "", "free_units": "",
         "valid_from": "2025-01-01", "valid_to": ""}
        for currency in _CURRENCIES.values()
        for item, model, tiers in (
            ("cpu", "per_unit", [("", "0.333333")]), ("gpu", "graduated", [("50", "2"), ("", "1.5")]),
            ("plan:Pro", "per_unit", [("", "49")]),
        )
        for tier, (bound, price) in enumerate(tiers)
    ]  # fmt: skip
    return {
        "tenants.csv": [
            {"id": identity, "name": f"{slug.title()} 株式会社", "plan": "Pro", "status": "active", "region": "eu",
             "slug": slug}
            for identity, slug in TENANTS.items()
        ],
        "plans.csv": [{"name": "Pro", "price_monthly": "49.00", "max_users": "", "features": ""}],
        "cost_drivers.csv": [
            {"driver_key": key, "category": "AI", "unit_cost": "0.05", "unit_label": "hour"} for key in ("cpu", "gpu")
        ],
        "price_books.csv": [
            {"name": f"Open {currency}", "currency": currency, "is_active": "true", "priority": "0"}
            for currency in _CURRENCIES.values()
        ],
        "price_entries.csv": entries,
        "subscriptions.csv": [
            {"id": f"s_{slug}", "tenant_id": slug, "plan": "Pro", "currency": currency, "started_on": "2026-01-01",
             "ended_on": "2026-02-15" if slug == "zulu" else "", "net_terms_days": "30",
             "minimum_commitment": "1000" if slug == "bravo" else ""}
            for slug, currency in _CURRENCIES.items()
        ],
        "usage_events/a.csv": [
            _use(slug, number, day, day)
            for slug in TENANTS.values() for number, day in enumerate(chance.choices(days, k=60))
        ],
    }  # fmt: skip
