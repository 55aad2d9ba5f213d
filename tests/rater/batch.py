"""Books of business by the dozen through the pipeline and past the clerk; what disagrees is told as rows."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from billing_models import Book, Models

from rater.books import FEATURES, LAST, Business, collect
from rater.compare import MOST, Batch, differences, found


@dataclass
class Outcome:
    """What one batch held, and the books on which the two raters disagree, each with what was found."""

    books: int
    lines: int
    disagreements: dict[int, list[str]]
    broken_laws: list[str]


def compare(businesses: list[Business], models: Models, folder: Path) -> Outcome:
    """Run books in one warehouse, all rows in one night, and hold every line against the clerk's."""
    batch = Batch(businesses, [LAST], lambda table, values: LAST)
    book = Book(folder, models)
    batch.write(book, LAST)
    book.run(LAST)
    lines = sum(len(bills.lines) for bills in batch.bills)
    return Outcome(
        len(businesses), lines, differences(batch.expected(), found(book, len(businesses))), book.broken_laws()
    )


def batches(count: int, number: int, features: frozenset[str] = FEATURES) -> Iterator[tuple[int, list[Business]]]:
    """Books in batches that fit a warehouse, each with the number that makes it again."""
    while count > 0:
        yield number, collect(min(count, MOST), number, features)
        count -= MOST
        number += 1


@contextlib.contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def smallest(business: Business, models: Models, folder: Path) -> Business:
    """Leave out rows as long as the two still disagree: all ways of leaving out some run in one warehouse at a time."""
    size = max(1, len(business.rows) // 2)
    round_ = 0
    while True:
        rows = business.rows
        tries = [
            Business(rows[:at] + rows[at + size :])
            for at in range(0, len(rows), max(1, size if size < 3 else size // 2))
        ][:MOST]
        round_ += 1
        with emptied(folder / f"round{round_}") as place:
            left = compare(tries, models, place).disagreements
        if left:
            business = tries[min(left, key=lambda at: len(tries[at].rows))]
            size = min(size, max(1, len(business.rows) // 2))
        elif size == 1:
            return business
        else:
            size = max(1, size // 2)


def told(number: int, place: int, business: Business, differences_: list[str]) -> str:
    """A disagreement in words, with the rows and the call that runs this book alone."""
    rows = [f"  {table}: { ({c: v for c, v in values.items() if v}) }" for table, values in business.rows]
    return "\n".join([
        f"the raters disagree on book {place} of seed {number}:",
        f"  python -m bench.rater --seed {number} --book {place}",
        *rows, *differences_[:20],
    ])  # fmt: skip


def night_of(values: dict[str, str], nights: list[date]) -> date:
    """The first night on which a row can be there: that of its day of receipt, the first one without such a day."""
    received = values.get("received_at") or values.get("paid_at", "")
    day = date.fromisoformat(received[:10]) if received else date.min
    return next((night for night in nights if night >= day), nights[-1])
