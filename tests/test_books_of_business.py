"""Generated books of business: the models and the independent rater agree on every line, however the rows came.

`python -m bench.rater --books 10000` runs many more, and one of them alone.
"""

from __future__ import annotations

import itertools
import random
from datetime import date, timedelta
from pathlib import Path

import pytest
from billing_models import MARTS, Book, Models, compiled
from rater.batch import batches, compare, night_of, told
from rater.books import FEATURES, LAST, collect
from rater.compare import MOST, Batch, differences, found

NIGHTS = [date(2025, 12, 1), date(2026, 2, 1), date(2026, 2, 20), date(2026, 4, 20), LAST]
TABLES = ("credit_notes", "invoice_lines", "invoices", "tenant_usage_daily")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


@pytest.mark.parametrize("number", [1, 2])
def test_both_raters_agree_on_every_line(number: int, models: Models, tmp_path: Path) -> None:
    for seed, businesses in batches(MOST, number):
        outcome = compare(businesses, models, tmp_path)
        for place, differing in outcome.disagreements.items():
            pytest.fail(told(seed, place, businesses[place], differing))
        assert outcome.lines > 500
        assert outcome.broken_laws == []


def published(book: Book) -> dict[str, list[str]]:
    """All of the published tables of billing, in an order of their own."""
    assert set(TABLES) <= set(MARTS)
    found = {table: sorted(str(row) for row in book.ask(f"select * from {table}")) for table in TABLES}
    found["quarantine"] = sorted(str(row) for row in book.ask(
        "select table_name, rule, column_name, value, reason, received_at, row_json from quarantine"
        " where table_name in ('usage_events', 'subscriptions', 'payments')"
    ))  # fmt: skip
    return found


def test_nights_one_load_and_another_split_agree(models: Models, tmp_path: Path) -> None:
    businesses = collect(30, 3)
    batch = Batch(businesses, NIGHTS, lambda table, values: night_of(values, NIGHTS))
    nightly = Book(tmp_path / "nightly", models)
    seen: list[set[str]] = []
    for night in NIGHTS:
        batch.write(nightly, night)
        assert nightly.night(night) == []
        seen.append({f"{row['id']} {row['content_hash']}" for row in nightly.ask("select * from invoices")})
    for earlier, later in itertools.pairwise(seen):
        assert earlier <= later
    assert differences(batch.expected(), found(nightly, len(businesses))) == {}

    once = Book(tmp_path / "once", models)
    shuffle = random.Random(7).shuffle
    for night in reversed(NIGHTS):
        batch.write(once, night, shuffle)
    assert once.night(LAST) == []
    assert published(once) == published(nightly)
    nightly.settings.warehouse.unlink()
    nightly.run(LAST)
    assert published(once) == published(nightly)


def test_rows_that_come_late_are_billed_when_they_came(models: Models, tmp_path: Path) -> None:
    # When a late file's usage of a late tenant or driver is known is a matter of landing, and tested there.
    businesses = collect(30, 4, FEATURES - {"late_tenants", "late_drivers"})
    draw = random.Random(8)

    def late(table: str, values: dict[str, str]) -> date:
        due = night_of(values, NIGHTS)
        # Of two payments of one id known on one night the smaller hash counts, which a clerk cannot tell.
        always = table in ("tenants", "plans", "cost_drivers", "price_books", "payments") or draw.random() < 0.7
        later = [night for night in NIGHTS if night > due]
        return due if always or not later else draw.choice(later)

    batch = Batch(businesses, NIGHTS, late)
    book = Book(tmp_path, models)
    for night in NIGHTS:
        batch.write(book, night)
        assert book.night(night) == []
    assert differences(batch.expected(), found(book, len(businesses))) == {}
    assert any(line.date > line.service_to + timedelta(days=1) for bills in batch.bills for line in bills.lines)
