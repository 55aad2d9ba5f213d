"""The partition of every asset: a night, that is a UTC date that has ended."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg

NIGHTS = dg.DailyPartitionsDefinition(start_date="2020-01-01", timezone="UTC")

# A backfill of many nights is one run that catches up to the last of them, as a nightly run after an outage does.
ONE_RUN = dg.BackfillPolicy.single_run()


def last_ended() -> date:
    """The last UTC date that has ended."""
    return datetime.now(UTC).date() - timedelta(days=1)


def night_of(context: dg.AssetExecutionContext) -> date | None:
    """The night that a step is run for: the last one of its partitions; None if the run has no partition."""
    if not context.has_partition_key and not context.has_partition_key_range:
        return None
    return date.fromisoformat(context.partition_key_range.end)
