"""What is final stays: the invoices and the ledger of each completed night, kept in the record and told to the models.

A night that completes keeps the number and content hash of each invoice that became final with it, and a digest of the
ledger up to it. The next one finds them in the warehouse as `landing.final_invoices` and `landing.ledger_nights`, and
two laws of billing (dbt_project/tests/billing) hold what was derived anew against them. What invoices and entries are
is none of this module's business.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from loompin import landing
from loompin.record import Night, Record
from loompin.sqltext import literal, path

ENTRY = "entry_id || '|' || account || '|' || cast(debit as varchar) || '|' || cast(credit as varchar)"
"""What the digest of the ledger covers of an entry; the macro `ledger_digest` of the dbt project says the same."""


@dataclass(frozen=True)
class Finals:
    """What a completed night made final: how many invoices since the night before it, and the ledger up to it."""

    invoices: int
    ledger_entries: int
    ledger_digest: str


def tell(connection: duckdb.DuckDBPyConnection, record: Record, nights: Sequence[Night]) -> None:
    """Make `landing.final_invoices` and `landing.ledger_nights` of a warehouse from what completed nights kept.

    Args:
        connection: the warehouse, open for writing.
        record: the record of the home.
        nights: the completed nights whose results may not change, oldest first. One made before anything was kept tells
            nothing, and neither do those before it.
    """
    telling: list[tuple[Night, Finals]] = []
    for night in nights:
        telling = [*telling, (night, Finals(**night.finals))] if night.finals is not None else []
    files = [record.finals_path(night.night) for night, kept in telling if kept.invoices]
    rows = " union all ".join(f"select id, date, content_hash from read_parquet({path(file)})" for file in files)
    nothing = "select null::varchar as id, null::date as date, null::varchar as content_hash where false"
    connection.execute(f"create or replace view landing.final_invoices as {rows or nothing}")
    connection.execute(
        "create or replace table landing.ledger_nights (night date, since date, entries bigint, digest varchar)"
    )
    since = telling[0][0].completed_before if telling else None
    for night, kept in telling:
        values = [
            night.night.isoformat(),
            since.isoformat() if since else None,
            kept.ledger_entries,
            kept.ledger_digest,
        ]
        # Constants rather than parameters: with a date as a parameter DuckDB imports pandas, which takes seconds.
        told = ", ".join("null" if value is None else literal(str(value)) for value in values)
        connection.execute(f"insert into landing.ledger_nights values ({told})")


def keep(published: Path, target: Path, night: date, completed_before: date | None) -> Finals | None:
    """Keep what a night makes final, before its file is put in place.

    Args:
        published: the file that was built for the night.
        target: where the new final invoices are written (Parquet); left out if there are none.
        night: the night.
        completed_before: the last completed night before it; its invoices are kept already.

    Returns:
        What was kept; None if the file holds no invoices or ledger at all.
    """
    target.unlink(missing_ok=True)
    with contextlib.closing(duckdb.connect(str(published), read_only=True)) as connection:
        tables = {table for (table,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
        if not {"invoices", "ledger_entries"} <= tables:
            return None
        since = f" and date > date {literal(completed_before.isoformat())}" if completed_before else ""
        rows = (
            "select id, date, content_hash from invoices"
            f" where date <= date {literal(night.isoformat())}{since} order by date, length(id), id"
        )
        (invoices,) = connection.execute(f"select count(*) from ({rows})").fetchone() or (0,)
        if invoices:
            connection.execute(f"copy ({rows}) to {literal(str(target))} (format parquet)")
            landing.make_durable([target])
        entries, digest = connection.execute(
            f"select count(*), cast(coalesce(sum(cast(md5_number_lower({ENTRY}) as hugeint)), 0) as varchar)"
            " from ledger_entries"
        ).fetchone() or (0, "0")
    return Finals(invoices, entries, digest)
