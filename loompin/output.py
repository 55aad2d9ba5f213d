"""How results are shown: tables for a terminal, CSV and JSON for programs. It knows values, not what they mean."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TextIO

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

_NUMBERS = (int, float, Decimal)


def console(stderr: bool = False) -> Console:
    """A console whose tables keep their width when they are piped, and that takes no value for markup."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = 200
    return made


def safe(text: str) -> str:
    """Text that cannot command the terminal: control characters are shown as their codes."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def shown(value: Any) -> str:
    """A value as people read it; an absent one is a dash of its own, told from empty text."""
    if value is None:
        return "-"
    if isinstance(value, list | dict):
        return safe(json.dumps(value, ensure_ascii=False, default=str))
    return safe(text_of(value))


def text_of(value: Any) -> str:
    """A value as text, as DuckDB writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str | None = None) -> Group:
    """A table of values between its title and its caption; numbers stand to the right, wide values are folded."""
    kept = [list(row) for row in rows]
    made = Table(show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        numbers = any(isinstance(row[index], _NUMBERS) and not isinstance(row[index], bool) for row in kept)
        made.add_column(Text(safe(column)), justify="right" if numbers else "left", overflow="fold")
    for row in kept:
        made.add_row(*(Text(shown(value)) for value in row))
    above = [Text(title, style="bold")] if title else []
    below = [Text(caption, style="dim")] if caption else []
    return Group(*above, made, *below)


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO | None = None) -> None:
    """CSV with a header; an absent value is an empty field."""
    writer = csv.writer(out or sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if value is None else text_of(value) for value in row])


def write_json(columns: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO | None = None) -> None:
    """A JSON array with one object a row. Decimals are numbers with all their digits."""
    stream = out or sys.stdout
    stream.write("[")
    for number, row in enumerate(rows):
        stream.write(("," if number else "") + "\n  " + _json(dict(zip(columns, row, strict=True))))
    stream.write("\n]\n")


def write_object(value: Any, out: TextIO | None = None) -> None:
    """One JSON value on a line of its own. Decimals are numbers with all their digits, dates ISO 8601."""
    (out or sys.stdout).write(_json(value) + "\n")


def _json(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(str(key), ensure_ascii=False)}: {_json(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_json(item) for item in value) + "]"
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value:f}"
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    if isinstance(value, datetime | date | time):
        return json.dumps(value.isoformat())
    if isinstance(value, timedelta | Decimal | bytes):
        return json.dumps(str(value))
    return json.dumps(value, ensure_ascii=False, default=str)


def batches(cursor: Any, size: int = 2000) -> Iterator[tuple[Any, ...]]:
    """The rows of a cursor, fetched in batches, so that a large result needs no large memory."""
    while found := cursor.fetchmany(size):
        yield from found


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 row, 2 rows, 1,234 rows."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """A number of bytes as people read it."""
    amount = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
