"""Rows of one key told apart: which of them counts, which is a duplicate, which is superseded, which contradicts
another.

Rows are versions of one row if they come from different files, or from one with different `received_at`; the latest
counts. Of usage events and payments the first known counts. Design section 6 and BILLING.md ('Versions',
'Duplicates') have the rules. Everything here is SQL over the relation `passing`: rows that broke no other rule
(columns as of `known.Files.rows`), of those that hashes do not tell to be unique.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa

from loompin.contracts import Table
from loompin.sqltext import name

# So many hashes are sorted at a time: one gigabyte of them.
_HASHES_AT_ONCE = 1 << 27
_BATCH = 1 << 20


def key_columns(table: Table) -> list[str]:
    """SQL of what tells the rows of a table apart, over its own columns."""
    key = [_tenant(table, column) for column in table.key]
    if table.is_keyed_by_month:
        # An event id seen again in another service month is another event.
        key.append("date_trunc('month', occurred_at)")
    return key


def hashed_columns(table: Table) -> list[str]:
    """SQL of what rows of one key have in common, and few others: cheaper than the key, which holds the whole month."""
    return [key.replace("date_trunc('month', occurred_at)", "month(occurred_at)") for key in key_columns(table)]


def unique_columns(table: Table, columns: Sequence[str]) -> list[str]:
    """SQL of the columns that a rule `unique` is about, over the table's own columns."""
    return [_tenant(table, column) for column in columns]


BY_MOMENT = "moment, _brought, _source_file, _row"
"""SQL of the order of versions of one row, the latest last; `moment` is as of `moment_sql`."""


def content_sql(table: Table, prefix: str = "") -> str:
    """SQL of a digest of what a row says, whenever it was received: equal digests are equal rows."""
    columns = [column.name for column in table.columns if column.in_files and column.name != "received_at"]
    told = ", chr(31), ".join(f"coalesce(cast({prefix}{name(column)} as varchar), chr(30))" for column in columns)
    return f"md5(concat({told}))"


def received_sql(table: Table, prefix: str = "") -> str:
    """SQL of the time at which a row was received, NULL where its table does not tell."""
    return f"{prefix}received_at" if "received_at" in table.by_name else "cast(null as timestamp)"


def moment_sql(received: str) -> str:
    """SQL of when a row was received: at the latest, when the night that brought it ended."""
    return f"coalesce({received}, _brought + interval 1 day)"


def _tenant(table: Table, column: str) -> str:
    # An unknown tenant is NULL; two of them are told apart as they were received.
    return f"coalesce({name(column)}, tenant_ref)" if column == table.tenant else name(column)


def find_repeated(
    connection: duckdb.DuckDBPyConnection, rows: str, at_most: int, values: Sequence[str], target: str
) -> int:
    """Make the temporary table `target` of (h): the hashes that some values have in more than one row. Tells how many.

    Sorting hashes takes a fraction of the time and memory that grouping the values does; what only shares a hash is
    told apart by whoever looks at the rows. At most `_HASHES_AT_ONCE` are held at a time (8 bytes each).

    Args:
        connection: the warehouse.
        rows: SQL of the rows, in parentheses or a name.
        at_most: how many rows there can be.
        values: SQL of the values.
        target: name of the table.
    """
    portions, found = -(-at_most // _HASHES_AT_ONCE), 0
    connection.execute(f"create or replace temp table {target} (h ubigint)")
    for portion in range(portions):
        where = f" where h % {portions} = {portion}" if portions > 1 else ""
        hashed = f"select {_hash(values)} as h from {rows}"
        # Into one array that is sorted where it stands: a second one of a hundred million hashes would not fit.
        hashes, count = np.empty(at_most, np.uint64), 0
        for batch in connection.execute(f"select h from ({hashed}){where}").to_arrow_reader(_BATCH):
            column = batch.column(0).to_numpy()
            if count + len(column) > len(hashes):
                hashes = np.concatenate([hashes[:count], np.empty(max(count, len(column)), np.uint64)])
            hashes[count : count + len(column)] = column
            count += len(column)
        hashes = hashes[:count]
        hashes.sort()
        repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        del hashes
        if len(repeated):
            connection.from_arrow(pa.table({"h": repeated})).insert_into(target)
            found += len(repeated)
    return found


def _hash(values: Sequence[str]) -> str:
    return f"hash({', '.join(values)})"


def find_candidates(
    connection: duckdb.DuckDBPyConnection, rows: str, values: Sequence[str], repeated: str, target: str
) -> None:
    """Make the temporary table `target` of (file_id, _row): the rows whose values have a hash that stands in
    `repeated`, so that what follows looks at few rows. Arguments as of `find_repeated`."""
    connection.execute(
        f"create or replace temp table {target} as"
        f" select file_id, _row from {rows} where {_hash(values)} in (select h from {repeated})"
    )


def find_same_key(connection: duckdb.DuckDBPyConnection, table: Table, passing: str, target: str) -> None:
    """Make the temporary table `target` of (file_id, _row, status): the rows of a key that do not count.

    `status` is duplicate, superseded, or quarantined (another row of the key contradicts it); where the first known
    counts, `month` is the service month. `passing` are the candidates that broke no other rule.
    """
    keys = key_columns(table)
    listed = ", ".join(f"k{index}" for index in range(len(keys)))
    same_key = f"""
        with candidates as materialized (
            select r.file_id, r._row, r._known_night, r._brought, r._source_file,
                {received_sql(table, "r.")} as received, {content_sql(table, "r.")} as content,
                {", ".join(f"{key} as k{index}" for index, key in enumerate(keys))}
            from {passing} as r
        ), several as (
            select {listed} from candidates group by {listed} having count(*) > 1
        ), same_key as (
            select c.* from candidates as c join several as s
                on {" and ".join(f"c.k{index} is not distinct from s.k{index}" for index in range(len(keys)))}
        )"""
    if table.duplicates == "first_known":
        month = f"k{len(keys) - 1}" if len(keys) > len(table.key) else "cast(null as timestamp)"
        found = _first_known(listed, month)
    else:
        found = _latest_known(listed)
    connection.execute(f"create or replace temp table {target} as {same_key}{found}")


def _first_known(key: str, month: str) -> str:
    # The first known counts, then the first received, then the smaller content; where a row stands does not matter.
    order = f"partition by {key} order by _known_night, received nulls last, content, _source_file, _row"
    return f"""
        select file_id, _row, case when content = counts then 'duplicate' else 'quarantined' end as status,
            cast({month} as date) as month
        from (
            select *, row_number() over ({order}) as place, first_value(content) over ({order}) as counts
            from same_key
        ) where place > 1
        """


def _latest_known(key: str) -> str:
    return f"""
        , told_in_file as (
            select *, row_number() over w as place, first_value(content) over w as first_content,
                {moment_sql("received")} as moment
            from same_key window w as (partition by {key}, file_id, received order by _row)
        ), versions as (
            select *, content = lag(content) over v as unchanged
            from told_in_file where place = 1
            window v as (partition by {key} order by {BY_MOMENT})
        ), changes as (
            select *, row_number() over w as newest from versions where unchanged is not true
            window w as (partition by {key} order by moment desc, _brought desc, _source_file desc, _row desc)
        )
        select file_id, _row, case when content = first_content then 'duplicate' else 'quarantined' end as status
            from told_in_file where place > 1
        union all
        select file_id, _row, 'duplicate' from versions where unchanged
        union all
        select file_id, _row, 'superseded' from changes where newest > 1
        """


def find_copies(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    columns: Sequence[str],
    passing: str,
    target: str,
) -> None:
    """Make the temporary table `target` of (file_id, _row): all rows with equal values in some columns but the first.

    The last of `columns` is the one that must differ; a row without a value there is no copy. The first is the first
    known.
    """
    values = unique_columns(table, columns)
    listed = ", ".join(f"k{index}" for index in range(len(values)))
    connection.execute(
        f"""
        create or replace temp table {target} as
        with keyed as (
            select file_id, _row, _known_night, {received_sql(table)} as received, _source_file,
                {", ".join(f"{value} as k{index}" for index, value in enumerate(values))}
            from {passing}
            where {values[-1]} is not null
        ), several as (
            select {listed} from keyed group by {listed} having count(*) > 1
        )
        select file_id, _row from (
            select k.file_id, k._row, row_number() over (partition by {", ".join(f"k.k{i}" for i in range(len(values)))}
                order by k._known_night, k.received nulls last, k._source_file, k._row) as place
            from keyed as k join several as s
                on {" and ".join(f"k.k{index} is not distinct from s.k{index}" for index in range(len(values)))}
        ) where place > 1
        """
    )
