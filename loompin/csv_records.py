"""Where the records of a CSV file stand: the physical line of each, told apart by quotes and line breaks.

DuckDB reads the values and says at which byte a record that it rejects begins; it does not say on which line one
stands. `find_lines` works that out from the bytes alone, and holds DuckDB to it: if the two do not find the same
records (an unclosed quote, line endings of two kinds), the file is rewritten by `rewrite`, record by record, and what
is no record is told there.

Nothing here knows tables or types. Memory stays bounded: files are read in chunks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

_Flags = npt.NDArray[np.bool_]
_CHUNK = 1 << 22
LONGEST_RECORD = 1 << 26
"""Bytes of the longest record that is read. A quote that is not closed within as many is taken for a stray one."""

# A field as DuckDB's strict mode reads it: quoted (blanks may follow), or anything that does not begin with a quote.
_FIELD = rb'(?:"(?:[^"]|"")*+" *|[^",\r\n][^,\r\n]*|)'
_SEVERAL = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*")
_LEFT_OPEN = re.compile(rb"(?:" + _FIELD + rb',)*"(?:[^"]|"")*+\Z')
_TO_CLOSING = re.compile(rb'(?:[^"]|"")*+')

MISSING, TOO_MANY, UNQUOTED = "MISSING COLUMNS", "TOO MANY COLUMNS", "UNQUOTED VALUE"
ENCODING, TOO_LONG, RETURN = "INVALID ENCODING", "LINE SIZE OVER MAXIMUM", "CARRIAGE RETURN"


@dataclass(frozen=True)
class Lines:
    """The physical lines (1 is the first) of the records that are rows, and of those that are rejected.

    Row number n (from 0) stands on line n + offset + the shift of the last step that begins at n or before; a step is
    (first row, shift).
    """

    steps: list[tuple[int, int]]
    rejected: list[int]


@dataclass(frozen=True)
class Reject:
    """A record that could not be read: its line, what is wrong with it (one of the names above), its text."""

    line: int
    error: str
    text: str


@dataclass
class Rewritten:
    """What `rewrite` found: rows written, rejected records, the length of the longest row in bytes."""

    rows: int = 0
    rejects: list[Reject] = field(default_factory=list)
    longest: int = 0


def find_lines(
    path: Path, rows: int, rejected: Sequence[int], *, quotes: bool, header: bool = True, blank_is_row: bool = False
) -> Lines | None:
    """The lines of a file's rows; None if its bytes do not hold `rows` rows and a record at each rejected position.

    Args:
        path: the file.
        rows: how many rows were read from it.
        rejected: the byte positions at which rejected records begin, ascending.
        quotes: whether quotes are to be heeded (a line break between them does not end a record).
        header: whether the first record is no row.
        blank_is_row: whether a blank line counts as a row.
    """
    positions = np.array(rejected, np.int64)
    steps: list[tuple[int, int]] = []
    reject_lines: list[int] = []
    row, shift = 0, 0
    for found in _records(path, quotes):
        skipped = int(header and len(found[0]) > 0 and found[0][0] == 0)
        starts, numbers, blank = (values[skipped:] for values in found)
        index = np.searchsorted(positions, starts)
        is_reject = np.zeros(len(starts), bool)
        inside = index < len(positions)
        is_reject[inside] = positions[index[inside]] == starts[inside]
        reject_lines += numbers[is_reject].tolist()
        kept = numbers[~is_reject & (True if blank_is_row else ~blank)]
        shifts = kept - np.arange(row, row + len(kept)) - (2 if header else 1)
        changes = np.flatnonzero(np.diff(shifts, prepend=shift))
        steps += [(row + int(at), int(shifts[at])) for at in changes]
        if len(kept):
            row, shift = row + len(kept), int(shifts[-1])
    if row != rows or len(reject_lines) != len(positions):
        return None
    return Lines(steps, reject_lines)


def longest_line(path: Path) -> int:
    """The length of a file's longest line in bytes."""
    longest, carried = 0, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
            if len(ends):
                longest = max(longest, carried + int(ends[0]), int(np.diff(ends).max(initial=0)))
                carried = len(chunk) - int(ends[-1]) - 1
            else:
                carried += len(chunk)
    return max(longest, carried)


def rewrite(path: Path, target: Path, columns: int) -> Rewritten:
    """Copy the records of a CSV file that have the right number of columns, each with its line before it.

    The copy has no header, its line breaks between records are all LF; what is between quotes is kept. A quote that
    is not closed takes the lines after it with it, as far as the next quote; if there is none within `LONGEST_RECORD`
    bytes, its own line alone is rejected.
    """
    result = Rewritten()
    with target.open("wb") as out:
        for line, record in _quoted_records(path):
            text = record.rstrip(b"\r\n")
            if not text:
                continue
            error = _error(text, columns)
            if error is None:
                out.write(b"%d,%b\n" % (line, text))
                result.rows += 1
                result.longest = max(result.longest, len(text))
            else:
                result.rejects.append(Reject(line, error, decode(text)))
    return result


def decode(text: bytes) -> str:
    """Bytes of a file as text: UTF-8, else what the common Western encoding makes of them."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", errors="replace")


def _error(text: bytes, columns: int) -> str | None:
    """What is wrong with a record, if anything."""
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            return ENCODING
    if len(text) > LONGEST_RECORD:
        return TOO_LONG
    if b'"' not in text:
        if b"\r" in text:
            return RETURN
        found = text.count(b",") + 1
    elif not _SEVERAL.fullmatch(text):
        return UNQUOTED
    else:
        found = _fields(text)
    return None if found == columns else MISSING if found < columns else TOO_MANY


def _fields(text: bytes) -> int:
    """How many fields a record has whose quotes are in order."""
    field, count, position = re.compile(_FIELD), 0, -1
    while position < len(text):
        match = field.match(text, position + 1)
        assert match is not None
        count, position = count + 1, match.end()
    return count


def _quoted_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each record after the header with the line that it begins on. A record ends at a line break outside quotes."""
    with path.open("rb") as file:
        number, start, resume, size, held = 0, 1, 0, 0, list[bytes]()
        while line := file.readline(LONGEST_RECORD + 2):
            if not held:
                start, resume = number + 1, file.tell()
            number += line.endswith(b"\n")
            held.append(line)
            size += len(line)
            if _left_open(line, inside=len(held) > 1):
                if size <= LONGEST_RECORD:
                    continue
                # Too long for one value: the quote is a stray one, and the lines after it stand for themselves.
                file.seek(resume)
                number, held = start, held[:1]
            if start > 1:
                yield start, b"".join(held)
            size, held = 0, []
        if held:
            yield start, b"".join(held)


def _left_open(line: bytes, inside: bool) -> bool:
    """Whether a quoted value goes on after this line. `inside`: one was open before it."""
    if b'"' not in line:
        return inside
    if inside:
        match = _TO_CLOSING.match(line)
        assert match is not None
        if match.end() == len(line):
            return True
        after = line[match.end() + 1 :].lstrip(b" ")
        if not after.startswith(b","):
            # The end of the record, or something behind the quote that makes it no record: it ends with this line.
            return False
        line = after[1:]
    return _LEFT_OPEN.match(line) is not None


def _records(path: Path, quotes: bool) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], _Flags]]:
    """Chunk by chunk: where each record begins, on which line, and whether it is a blank line."""
    offset, quotes_before, newlines_before, start, line, previous = 0, 0, 0, 0, 1, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            data = np.frombuffer(chunk, np.uint8)
            breaks = np.flatnonzero(data == ord("\n"))
            numbers = newlines_before + 1 + np.arange(1, len(breaks) + 1)
            newlines_before += len(breaks)
            ends = breaks
            if quotes:
                marks = np.flatnonzero(data == ord('"'))
                outside = (np.searchsorted(marks, breaks) + quotes_before) % 2 == 0
                quotes_before += len(marks)
                ends, numbers = breaks[outside], numbers[outside]
            starts = np.concatenate([[start], ends[:-1] + 1 + offset]) if len(ends) else np.empty(0, np.int64)
            lines = np.concatenate([[line], numbers[:-1]]) if len(ends) else np.empty(0, np.int64)
            lengths = ends + offset - starts
            blank = lengths == 0
            # A line of one byte is blank if that byte is the CR of its line break.
            single = np.flatnonzero(lengths == 1)
            blank[single] = np.where(ends[single] > 0, data[ends[single] - 1], previous) == ord("\r")
            if len(ends):
                start, line = int(ends[-1]) + 1 + offset, int(numbers[-1])
            offset += len(chunk)
            previous = int(data[-1])
            yield starts, lines, blank
    if start < offset:
        yield np.array([start]), np.array([line]), np.array([offset - start == 1 and previous == ord("\r")])
