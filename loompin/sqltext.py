"""Names and values in SQL text: a value that comes from data goes through `literal`, a name through `name`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath


def literal(value: str | None) -> str:
    """A SQL string constant (DuckDB and the standard know no escape but the doubled quote)."""
    return "null" if value is None else "'" + value.replace("'", "''") + "'"


def name(identifier: str) -> str:
    """A quoted SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def names(identifiers: Iterable[str], prefix: str = "") -> str:
    """Quoted identifiers, separated by commas; `prefix` is a relation's alias with its dot."""
    return ", ".join(prefix + name(identifier) for identifier in identifiers)


def path(file: str | PurePath) -> str:
    """A file's path as a SQL string constant that reads that one file: DuckDB takes `*`, `?` and `[` for patterns."""
    return literal("".join(f"[{character}]" if character in "*?[" else character for character in str(file)))
