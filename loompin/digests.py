"""Digests of published tables: what tells whether two computations of a night agree.

A digest is a sum over rows, so that of a table is the sum of those of its parts (`published_months`).
"""

from __future__ import annotations

from collections.abc import Mapping

from loompin.sqltext import name


def digest_sql(columns: Mapping[str, str]) -> str:
    """SQL for a number that tells the content of a table, whatever the order of its rows.

    Doubles count to nine digits: the last ones of a mean depend on the order in which an engine adds.

    Args:
        columns: the columns of the table with their types.
    """
    texts = [
        f"printf('%.8e', {name(column)})" if kind in ("DOUBLE", "FLOAT") else f"cast({name(column)} as varchar)"
        for column, kind in columns.items()
    ]
    # One call is quicker than a chain of ||.
    row = ", chr(31), ".join(f"coalesce({text}, chr(30))" for text in texts)
    return f"coalesce(sum(cast(md5_number_lower(concat({row})) as hugeint)), 0)"
