"""What each night knew of a table: every row ever accepted, with the nights between which it counted.

The source views hold the rows that count now. Billing also asks what counted on an earlier night, whatever changed
since: the price of a month stays the one known when the month was billed. `landing.history_<table>` answers: at night N
those rows count whose `_known_night` is N or earlier and whose `_ended_night`, if any, is later.

Where a table is large and changes little, `history: changed` keeps the rows of those keys alone that did not always say
the same; the others are as in the source view.

A row ends when a later version of its key becomes known, when its file is replaced by one without it, or when a rule
begins to hold it back; it may begin again. Rows that were held back stand beside the others with `_refused`, for tables
whose rows make sets: the rest of a set must not pass for the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from loompin.contracts import Table
from loompin.known import Files, Resolved
from loompin.sqltext import literal, name
from loompin.versions import BY_MOMENT, content_sql, key_columns, moment_sql, received_sql

_FIELDS = ("_known_night", "_ended_night", "_source_file", "_source_line", "_refused")


def make(
    connection: duckdb.DuckDBPyConnection, files: Files, table: Table, resolved: Resolved, bad_that_stay: Sequence[str]
) -> None:
    """Make `landing.history_<table>` once the rows of the table are validated for the night.

    Args:
        connection: the warehouse, open for writing, with what `validation` made of the table.
        files: the file versions of the night.
        table: the table, one with `history`.
        resolved: what its references mean.
        bad_that_stay: columns whose wrong values do not make a row leave.
    """
    target = f"landing.{name('history_' + table.name)}"
    columns = ", ".join(name(column.name) for column in table.columns)
    fields = ", ".join(_FIELDS)
    if table.history == "changed" and not _may_have_changed(connection, files, table):
        typed = ", ".join(f"{name(column.name)} {column.data_type}" for column in table.columns)
        connection.execute(
            f"create table {target} ({typed}, _known_night date, _ended_night date, _source_file varchar,"
            " _source_line bigint, _refused boolean)"
        )
        return
    rows = files.history(table, resolved, _held_now(table), bad_that_stay)
    if table.history != "with_refused":
        rows = f"select * from ({rows}) where not _refused"
    if not table.key or not files.of(table):
        connection.execute(f"create table {target} as select {columns}, {fields} from ({rows})")
        return
    if table.history == "changed":
        # Found first, so that the rows of other keys are neither sorted nor kept.
        keys = ", ".join(key_columns(table))
        changed = f"select {keys} from ({rows}) group by all having count(*) > 1 or count(_ended_night) > 0"
        rows = f"select * from ({rows}) where ({keys}) in ({changed})"
    key = ", ".join(f"k{index} := {column}" for index, column in enumerate(key_columns(table)))
    of_row = ", ".join(f"r.{name(column.name)}" for column in table.columns)
    connection.execute(
        f"""
        create table {target} as
        with rows as (
            select *, struct_pack({key}) as key, {content_sql(table)} as content,
                {moment_sql(received_sql(table))} as moment
            from ({rows})
        ), placed as (
            select *, row_number() over w as place, count(*) over (partition by key) as rows_of_key,
                min(case when not _refused then _known_night end) over (
                    w rows between 1 following and unbounded following) as replaced
            from rows window w as (partition by key order by {BY_MOMENT}, _known_night)
        ), several as (
            select * from placed where rows_of_key > 1 and not _refused
        ), points as (
            select key, _known_night as night from several
            union select key, _ended_night from several where _ended_night is not null
        ), counting as (
            -- At each of these nights the latest counts of those that are known.
            select p.key, p.night, max(r.place) as place, arg_max(r.content, r.place) as content
            from points as p
            left join several as r on r.key = p.key and r._known_night <= p.night
                and (r._ended_night is null or r._ended_night > p.night)
            group by p.key, p.night
        ), turns as (
            select *, lag(content) over (partition by key order by night) is distinct from content as turned
            from counting
        ), starts as (
            select *, lead(night) over (partition by key order by night) as ended from turns where turned
        )
        select {of_row}, s.night as _known_night, s.ended as _ended_night, r._source_file, r._source_line,
            false as _refused
        from starts as s join several as r on r.key = s.key and r.place = s.place
        union all
        select {of_row}, r._known_night, r._ended_night, r._source_file, r._source_line, false
        from placed as r where rows_of_key = 1 and not _refused
        union all
        select {of_row}, r._known_night, least(r._ended_night, r.replaced), r._source_file, r._source_line, true
        from placed as r where _refused and (replaced is null or replaced > _known_night)
        """
    )


def _held_now(table: Table) -> str:
    """SQL of the rows (file_id, _row) that the night under way holds back."""
    return (
        f"select distinct file_id, _row from landing.excluded"
        f" where table_name = {literal(table.name)} and status = 'quarantined'"
    )


def _may_have_changed(connection: duckdb.DuckDBPyConnection, files: Files, table: Table) -> bool:
    """Whether a file of the table has several versions, or a row of it was superseded or held back."""
    excluded = connection.execute(
        f"select 1 from landing.excluded where table_name = {literal(table.name)}"
        " and status in ('quarantined', 'superseded') limit 1"
    ).fetchone()
    return excluded is not None or files.has_lineage(table)
