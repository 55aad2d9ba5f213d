"""Books of business for the benchmarks of billing: many tenants, their prices, and usage events as landed Parquet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from loompin import contracts as contracts_module
from loompin import landing
from loompin.record import FileVersion, Night, Record
from loompin.settings import Settings
from loompin.sqltext import literal

DRIVERS = 5
# One event in so many is delivered twice; one in so many is cancelled an hour later.
TWICE, CANCELLED = 1_000, 100_000

_TENANT = "printf('%08x-0000-4000-8000-%012x', cast({n} as bigint) * 2654435761 % 4294967296, {n})"

_TABLES = {
    "tenants": f"""
        select {_TENANT.format(n="n")} as id, 'Tenant ' || n as name, 'Team' as plan, 'active' as status,
            'eu' as region, 'tenant_' || n as slug from range({{tenants}}) as t (n)""",
    "plans": "select 'Team' as name, 100.00 as price_monthly",
    "cost_drivers": f"""
        select 'driver.' || d as driver_key, 'Compute' as category, '0.0005' as unit_cost, 'unit' as unit_label
        from range({DRIVERS}) as t (d)""",
    "subscriptions": f"""
        select 'sub_' || n as id, {_TENANT.format(n="n")} as tenant_id, 'Team' as plan, 'USD' as currency,
            '{{since}}' as started_on, null as ended_on, '30' as net_terms_days, null as minimum_commitment
        from range({{tenants}}) as t (n)""",
    "price_books": "select 'Open' as name, 0 as priority, 'USD' as currency, true as is_active",
    # Half of the drivers have two tiers, half one.
    "price_entries": f"""
        select 'pe_' || d || '_' || tier as id, 'Open' as price_book, 'driver.' || d as item_key,
            case when d % 2 = 0 then 'graduated' else 'per_unit' end as pricing_model,
            case when d % 2 = 0 and tier = 1 then '1000' end as tier_up_to,
            case tier when 1 then '0.002' else '0.001' end as unit_price, '0' as flat_fee, null as package_size,
            '0' as free_units, '2024-01-01' as valid_from, null as valid_to
        from range({DRIVERS}) as t (d), range(1, 3) as u (tier) where tier = 1 or d % 2 = 0""",
}


def write_source(folder: Path, tenants: int, since: date) -> None:
    """Write the files of a book of business but its usage: tenants on one plan from a day on, one open price book."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = contracts_module.load().tables
    with contextlib.closing(duckdb.connect()) as connection:
        for table, query in _TABLES.items():
            made = query.format(tenants=tenants, since=since)
            found = [row[0] for row in connection.execute(f"describe {made}").fetchall()]
            lacking = [c.name for c in columns[table].file_columns if c.name not in found]
            filled = "".join(f", null as {column}" for column in lacking)
            connection.execute(
                f"copy (select *{filled} from ({made})) to {literal(str(folder / f'{table}.csv'))} (format csv, header)"
            )


def events(first: int, rows: int, since: date, days: int, tenants: int) -> str:
    """SQL of usage events, numbered from `first`, spread evenly over some days, each received a minute later."""
    seconds = days * 86_400
    number = f"case when i % {TWICE} = {TWICE - 1} then i - {TWICE - 1} else i end"
    # A cancellation names the event before it, which is of the same tenant, driver and second.
    use = f"case when i % {CANCELLED} = 1 then n - 1 else n end"
    return f"""
        select 'use_' || n as event_id, {_TENANT.format(n=f"(u * 7919 % {tenants})")} as tenant_id,
            'driver.' || (u // {tenants}) % {DRIVERS} as driver_key,
            cast(1 + u % 1000 as decimal(38, 6)) / 8 as quantity,
            timestamp {literal(since.isoformat())} + to_seconds((u - {first}) * {seconds} // {rows}) as occurred_at,
            timestamp {literal(since.isoformat())} + to_seconds((i - {first}) * {seconds} // {rows} + 60)
                as received_at,
            case when i % {CANCELLED} = 1 then 'use_' || u end as cancels_event_id
        from (select *, {use} as u from (select i, {number} as n from range({first}, {first + rows}) as r (i)))"""


def land_events(
    record: Record, query: str, source_file: str, accepted: date, completed_before: date | None,
    name: str = "usage_events",
) -> FileVersion:  # fmt: skip
    """Write usage events (or rows of another table) as the landed part of a file; the version that the record names."""
    table = contracts_module.load().tables[name]
    version = FileVersion(
        id=source_file.replace("/", "-").removesuffix(".parquet"), table=table.name, source_file=source_file,
        content=source_file, contract=table.fingerprint, rows=0, rejects=0,
        columns=[column.name for column in table.file_columns], extra_columns=[], line_offset=1, bytes=0,
        source_bytes=0, accepted=accepted, completed_before=completed_before,
    )  # fmt: skip
    part = record.part(version)
    part.parent.mkdir(parents=True, exist_ok=True)
    columns = ", ".join(f"cast({column.name} as {column.data_type}) as {column.name}" for column in table.file_columns)
    with contextlib.closing(landing.connect(temp=record.raw)) as connection:
        connection.execute(
            f"copy (select {columns}, cast(null as bigint) as _line, cast(null as varchar) as _bad,"
            f" cast(null as varchar) as _raw from ({query})) to {literal(str(part))} (format parquet)"
        )
    return replace(version, rows=pq.read_metadata(part).num_rows, bytes=part.stat().st_size)


def write_events(path: Path, query: str) -> None:
    """Write usage events as a file of a source folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(duckdb.connect()) as connection:
        connection.execute(f"copy ({query}) to {literal(str(path))} (format parquet)")


def land_source(settings: Settings, accepted: date) -> list[FileVersion]:
    """Land the files of a source folder as they are; the versions that the record names."""
    contracts, record, versions = contracts_module.load(), Record(settings.raw), []
    with contextlib.closing(landing.connect(temp=settings.home)) as connection:
        for path in sorted(settings.source.glob("*.csv")):
            table, scanned = contracts.tables[path.stem], landing.scan(path)
            version = FileVersion(
                id=path.stem, table=path.stem, source_file=path.name, content=scanned.content,
                contract=table.fingerprint, rows=0, rejects=0, columns=[], extra_columns=[], line_offset=0, bytes=0,
                source_bytes=scanned.size, accepted=accepted,
            )  # fmt: skip
            part = landing.land(connection, table, path, scanned, record.part(version))
            versions.append(replace(version, **part.__dict__))
    return versions


def complete(settings: Settings, night: date, versions: Sequence[FileVersion]) -> None:
    """State in the record that a night accepted these versions."""
    record = Record(settings.raw)
    record.write_pending(Night(night=night, run_id="", completed_before=None, accepted=list(versions), gone=[]))
    record.complete()


def days_of(since: date, until: date) -> Iterable[date]:
    """The days from one to before another."""
    return (since + timedelta(days=number) for number in range((until - since).days))
