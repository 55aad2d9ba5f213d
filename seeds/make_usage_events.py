"""Writes supply_chain/usage_events.csv: January's usage, and 1 February exactly as the catalog's sample has it.

The totals below are what the subscriptions and prices of the seeds turn into the catalog's five invoices. Each total
is spread over days and events by a fixed arithmetic pattern, so the file is the same on every run. Besides, there is
one of each thing that a stream of events brings: an event sent twice, a cancelled one, and one that arrives after its
month was closed.

Run it from anywhere: `python seeds/make_usage_events.py`.
"""

import csv
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

TARGET = Path(__file__).parent / "supply_chain" / "usage_events.csv"
HEADER = ["event_id", "tenant_id", "driver_key", "quantity", "occurred_at", "received_at", "cancels_event_id"]
TIME = "%Y-%m-%dT%H:%M:%SZ"


class Stream(NamedTuple):
    """One tenant's use of one driver: how much from `first` to `last`, both included, in how many events a day."""

    tenant: str
    spellings: tuple[str, ...]
    driver: str
    total: Decimal
    first: date
    last: date
    events_a_day: int


ACME = ("acme_1", "`550e8400-e29b-...`", "550e8400-e29b-41d4-a716-446655440000")
GLOBAL_TECH = ("global_tech", "`671f9511-f30c-...`", "671f9511-f30c-4874-a690-349023450000")
STARK = ("stark_ind", "`982f2345-d41c-...`", "982f2345-d41c-4321-b112-998877660000")
WAYNE = ("wayne_ent", "`123e4567-e89b-...`", "123e4567-e89b-12d3-a456-426614174000")

SAMPLE_DAY = date(2026, 2, 1)
STREAMS = [
    # 54,500 x 0.0006 = 32.70, and 1,250 GB = 100 free + 1,000 x 0.012 + 150 x 0.010 = 13.50; together 46.20.
    Stream("acme", ACME, "ai.input.1k", Decimal(54500), date(2026, 1, 1), date(2026, 1, 31), 4),
    Stream("acme", ACME, "infra.storage.gb", Decimal(1250), date(2026, 1, 1), date(2026, 1, 31), 1),
    # 599,695 x 0.002 = 1,199.39; with 31.61 for 20 days of the plan and 49.00 for February, 1,280.00.
    Stream("glob", GLOBAL_TECH, "ai.output.1k", Decimal(599695), date(2026, 1, 12), date(2026, 1, 31), 6),
    # The catalog's five rows of tenant_usage_daily.
    Stream("acme", ACME, "ai.input.1k", Decimal(125000), SAMPLE_DAY, SAMPLE_DAY, 8),
    Stream("acme", ACME, "infra.storage.gb", Decimal(850), SAMPLE_DAY, SAMPLE_DAY, 1),
    Stream("glob", GLOBAL_TECH, "ai.output.1k", Decimal(45000), SAMPLE_DAY, SAMPLE_DAY, 6),
    Stream("star", STARK, "telecom.sms.seg", Decimal(1200), SAMPLE_DAY, SAMPLE_DAY, 6),
    Stream("wayn", WAYNE, "infra.compute.sec", Decimal(1000000), SAMPLE_DAY, SAMPLE_DAY, 8),
]


def spread(total: Decimal, parts: int) -> list[Decimal]:
    """`total` in `parts` uneven amounts of at most three decimals that sum to it exactly."""
    weights = [7 + (i * 11) % 13 for i in range(parts)]
    step = Decimal("0.001")
    amounts = [(total * w / sum(weights)).quantize(step) for w in weights]
    amounts[-1] += total - sum(amounts)
    return amounts


def rows_of(stream: Stream) -> list[list[str]]:
    """The stream's events in the order in which they happened, each received some minutes later."""
    days = (stream.last - stream.first).days + 1
    rows = []
    for i, quantity in enumerate(spread(stream.total, days * stream.events_a_day)):
        day = stream.first + timedelta(days=i // stream.events_a_day)
        number = i % stream.events_a_day
        minutes = (number * 1440 + 37 * i % 1440) // stream.events_a_day
        occurred = datetime.combine(day, time(), UTC) + timedelta(minutes=minutes)
        received = occurred + timedelta(minutes=2 + i % 9)
        rows.append(
            [
                f"use_{stream.tenant}_{stream.driver.replace('.', '_')}_{day:%Y%m%d}_{number + 1:02d}",
                stream.spellings[i % len(stream.spellings)],
                stream.driver,
                f"{quantity.normalize():f}",
                occurred.strftime(TIME),
                received.strftime(TIME),
                "",
            ]
        )
    return rows


def incidents(rows: list[list[str]]) -> list[list[str]]:
    """A second delivery of the first event, an event and its cancellation, and one received after its month closed."""
    again = [*rows[0][:5], "2026-01-02T04:00:00Z", ""]
    return [
        again,
        ["use_acme_bad", "acme_1", "ai.input.1k", "99000", "2026-01-15T10:00:00Z", "2026-01-15T10:01:00Z", ""],
        [
            "use_acme_undo",
            "acme_1",
            "ai.input.1k",
            "99000",
            "2026-01-15T10:00:00Z",
            "2026-01-16T08:30:00Z",
            "use_acme_bad",
        ],
        ["use_acme_late", "acme_1", "infra.storage.gb", "40", "2026-01-31T22:10:00Z", "2026-02-06T07:00:00Z", ""],
    ]


def main() -> None:
    """Write the file."""
    rows = [row for stream in STREAMS for row in rows_of(stream)]
    rows += incidents(rows)
    rows.sort(key=lambda row: (row[5], row[0]))
    with TARGET.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])


if __name__ == "__main__":
    main()
