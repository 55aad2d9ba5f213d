"""Which usage events each invoice line bills: one Parquet file an invoice date, written once, read through one view.

What an invoice date bills never changes, so that a night writes the file of a new date only, however many events there
are. The files stand beside the published file and are named there by the view `invoice_line_events`; a file is never
changed in place, so that whoever holds an older published file open keeps reading what it names. They hold ids, no
personal data. Which events a line bills is said by the model `invoice_line_events` of the dbt project.

Beside each file stands what is known of it since it was written: a digest of its rows, and one of how many events it
has of each line. A file is right if the latter is what the lines of the night bill; else it is written anew.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import duckdb

from loompin.record import sync_folder, write_json
from loompin.sqltext import literal, name
from loompin.sqltext import path as path_literal

TABLE = "invoice_line_events"
# With more rows than DuckDB writes at a time, ids of lines are kept as numbers of a dictionary.
_ROW_GROUP = 1_000_000


class Incomplete(Exception):
    """A file cannot hold what its lines bill; the message says which."""


@dataclass(frozen=True)
class LineEvents:
    """What is published of a night: the files in the order of their dates, their rows, and a digest of all of them."""

    files: list[Path]
    rows: int
    digest: str


@dataclass(frozen=True)
class _Said:
    """What is known of a file since it was written."""

    rows: int
    bytes: int
    lines: str
    digest: str


def folder_of(published: Path) -> Path:
    """Where the files stand that a published file names."""
    return published.parent / TABLE


def write(connection: duckdb.DuckDBPyConnection, folder: Path, completed: date | None) -> LineEvents:
    """Make sure that the file of each invoice date stands and is right.

    Args:
        connection: any, with a derived warehouse attached as `warehouse`.
        folder: where the files stand; made if it is not there.
        completed: the last completed night, if there is one: what a night left that did not get that far may be
            replaced, what was published may not.

    Raises:
        Incomplete: a date's events do not add up to what its lines bill, or other lines were published for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.tmp"):
        left.unlink()
    billed = connection.execute(
        "select invoice_date, count(*), sum(cast(md5_number_lower(line_id || '|' || events) as hugeint))"
        " from warehouse.intermediate.int_invoice_lines where events <> 0 group by invoice_date order by invoice_date"
    ).fetchall()
    moved = connection.execute(
        "select distinct invoice_date from warehouse.intermediate.int_usage_line_runs order by invoice_date"
    ).fetchall()
    told = {day: f"{count}:{digest:x}" for day, count, digest in billed}
    files, rows, digests = [], 0, []
    for (day,) in moved:
        path = folder / f"{day.isoformat()}.parquet"
        lines = told.get(day, "0:0")
        said = _said(path)
        if said is not None and said.lines != lines and completed is not None and day <= completed:
            raise Incomplete(f"the lines of {day} bill other events than those published for it ({path.name})")
        if said is None or said.lines != lines:
            said = _write(connection, day, lines, path)
        files.append(path)
        rows += said.rows
        digests.append(f"{day.isoformat()}={said.digest}")
    return LineEvents(files, rows, f"{rows}:{','.join(digests)}")


def view(connection: duckdb.DuckDBPyConnection, found: LineEvents) -> None:
    """Make the view over the files, in the current database; without files it is empty, with the same columns."""
    columns = connection.execute(
        "select column_name, data_type from duckdb_columns() where database_name = 'warehouse'"
        f" and schema_name = 'main' and table_name = {literal(TABLE)} order by column_index"
    ).fetchall()
    listed = ", ".join(path_literal(path) for path in found.files)
    selected = ", ".join(
        f"{name(column)}" if found.files else f"cast(null as {kind}) as {name(column)}" for column, kind in columns
    )
    relation = f"from read_parquet([{listed}])" if found.files else "where false"
    connection.execute(f"create view {name(TABLE)} as select {selected} {relation}")


def _write(connection: duckdb.DuckDBPyConnection, day: date, lines: str, path: Path) -> _Said:
    working = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp")
    try:
        connection.execute(
            f"copy (select * from warehouse.main.{name(TABLE)} where invoice_date = date {literal(day.isoformat())})"
            f" to {literal(str(working))} (format parquet, row_group_size {_ROW_GROUP})"
        )
        found = _lines(connection, working)
        if found != lines:
            raise Incomplete(
                f"the events of the invoice lines of {day} do not add up to what the lines bill ({found}, not {lines})"
            )
        rows, digest = _digest(connection, working)
        said = _Said(rows=rows, bytes=working.stat().st_size, lines=lines, digest=digest)
        working.chmod(0o644)
        descriptor = os.open(working, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(working, path)
        sync_folder(path.parent)
        # Last, so that what it says is of a file that was written to its end.
        write_json(path.with_suffix(".json"), asdict(said))
        return said
    finally:
        working.unlink(missing_ok=True)


def _lines(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    row = connection.execute(
        "select count(*), coalesce(sum(cast(md5_number_lower(line_id || '|' || events) as hugeint)), 0) from ("
        f"select line_id, cast(sum(counts) as bigint) as events from read_parquet({path_literal(path)})"
        " group by line_id having sum(counts) <> 0)"
    ).fetchone()
    assert row is not None
    return f"{row[0]}:{row[1]:x}"


def _digest(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, str]:
    """The rows of a file and their content, whatever their order: the date names the file, the rest follows."""
    row = connection.execute(
        "select count(*), coalesce(sum(cast(md5_number_lower(event_id || chr(31) || line_id || chr(31) || counts)"
        f" as hugeint)), 0) from read_parquet({path_literal(path)})"
    ).fetchone()
    assert row is not None
    return row[0], f"{row[1]:x}"


def _said(path: Path) -> _Said | None:
    """What is known of a file since it was written; None if it is not there or not whole."""
    try:
        said = _Said(**json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
        whole = path.stat().st_size == said.bytes
    except (OSError, ValueError, TypeError):
        return None
    return said if whole else None
