"""From a source file to a typed Parquet part: text is read, cast by the table's contract, and nothing is lost.

A part holds every row that could be read. A row with a value of the wrong type has NULL in its place, and keeps its
text: `_bad` names the columns, `_raw` is the row as JSON. What could not be split into columns stands in a second
file, the rejects. Which rows count is decided later, in `validation`; which files there are, in `sources`; what a
text means, in `formats`; on which line it stands, in `csv_records`.

Columns of a part: the contract's file columns and the units of its metrics, then `_line` (NULL if the row number
tells the line), `_bad`, `_raw`, and `_extra` (columns that the contract does not know, as JSON) where a file has
such.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import io
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import blake3
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loompin import csv_records, formats, sqltext
from loompin.contracts import Column, Table
from loompin.csv_records import Reject
from loompin.formats import Hints
from loompin.sqltext import literal, name

_CHUNK = 1 << 20
# DuckDB reads lines of at most this many bytes unless told otherwise, with buffers of 32 MB.
_LONGEST_BY_DEFAULT = 2_000_000
# Up to here the lines of a part's rows are told by steps; a file with more of them gets a column of line numbers.
_MOST_STEPS = 100
_JUST_WRITTEN_SECONDS = 60
MALFORMED = "*"
"""Stands in `_bad` for a JSON line that is no object."""


class FileFailed(Exception):
    """A file cannot be landed as a whole; the message says why and what to do, without the file's name."""


@dataclass(frozen=True)
class Scan:
    """What one pass over a file's bytes tells; `content` is their hash, `mtime_ns` that of the file before."""

    content: str
    size: int
    mtime_ns: int
    lines: int
    has_nul: bool
    has_backtick: bool
    has_quote: bool


@dataclass(frozen=True)
class Part:
    """A landed file: its rows as Parquet, its unreadable lines as a second file where there are any.

    `misfits` of the `rows` have a value of the wrong type. Row n (from 0) stands on line n + `line_offset` + the
    shift of the last of `line_steps` (first row, shift) that begins at or before it, unless the row has a `_line` of
    its own, which then takes the place of n.
    """

    rows: int
    rejects: int
    misfits: int
    columns: list[str]
    extra_columns: list[str]
    line_offset: int
    line_steps: list[tuple[int, int]]
    bytes: int
    warnings: list[str] = field(default_factory=list)


def connect(
    memory_limit: str = "1500MB", temp: Path | None = None, database: str | Path = ":memory:"
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection set as the warehouse needs it: UTC, bounded memory, nothing fetched from outside."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if temp is not None:
        config["temp_directory"] = str(temp)
    connection = duckdb.connect(str(database), config=config)
    connection.execute("set timezone = 'UTC'")
    connection.execute("set enable_progress_bar = false")
    return connection


def scan(path: Path) -> Scan:
    """Read a file once and tell its content hash, size and what is in it.

    Raises:
        FileFailed: the file cannot be read.
    """
    hasher = blake3.blake3()
    size, lines, last = 0, 0, b"\n"
    nul, backtick, quote = False, False, False
    try:
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            # Not to the end: a writer may be faster than this loop.
            for chunk in _chunks(file, status.st_size):
                hasher.update(chunk)
                size += len(chunk)
                lines += int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == ord("\n")))
                nul = nul or b"\0" in chunk
                backtick = backtick or b"`" in chunk
                quote = quote or b'"' in chunk
                last = chunk[-1:]
            just_written = time.time() - status.st_mtime < _JUST_WRITTEN_SECONDS
            if last != b"\n" and just_written and _open_elsewhere(file.fileno()):
                raise FileFailed(STILL_WRITTEN)
    except OSError as error:
        raise FileFailed(f"cannot be read ({error.strerror}); make it readable for this user") from error
    return Scan(hasher.hexdigest(), size, status.st_mtime_ns, lines + (last != b"\n"), nul, backtick, quote)


def _chunks(file: io.RawIOBase, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a file, each chunk read while the one before is worked on."""
    if size <= _CHUNK:
        yield file.read(size)
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(file.read, min(_CHUNK, size))
        while chunk := coming.result():
            size -= len(chunk)
            coming = reader.submit(file.read, min(_CHUNK, size))
            yield chunk


STILL_WRITTEN = "is still being written; it is tried again by the next run"


def _open_elsewhere(descriptor: int) -> bool:
    """Whether another program has the file open for writing; False where the file system cannot tell."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def changed_since(path: Path, scanned: Scan) -> bool:
    """Whether a file is not as it was when it was scanned: gone, grown, or written to."""
    try:
        status = path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (scanned.size, scanned.mtime_ns)


def land(connection: duckdb.DuckDBPyConnection, table: Table, path: Path, scanned: Scan, target: Path) -> Part:
    """Write one source file as a Parquet part at `target` (and its unreadable lines at `rejects_path(target)`).

    Memory stays bounded whatever the file's size: DuckDB streams it from text to Parquet. `connection` (of `connect`)
    is used for nothing else meanwhile.

    Raises:
        FileFailed: the file as a whole is of no use (no header, a required column missing, not Parquet, changed
        meanwhile). OSError: the part cannot be written, for example because the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(target) as working:
        try:
            part = _Landing(connection, table, path, scanned, working).run()
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            if isinstance(error, duckdb.IOException) and ("write" not in str(error) and "space left" not in str(error)):
                raise FileFailed(_in_words(error)) from error
            raise OSError(errno.ENOSPC, f"{path.name} cannot be landed: {str(error).splitlines()[0]}") from error
        except duckdb.Error as error:
            raise FileFailed(_in_words(error)) from error
        if changed_since(path, scanned):
            raise FileFailed(STILL_WRITTEN)
        for file, final in ((rejects_path(working), rejects_path(target)), (working, target)):
            if file.exists():
                os.replace(file, final)
        # Last, so that what is recalled was written to its end.
        described = json.dumps(asdict(part))
        beside = working.with_suffix(".json")
        beside.write_text(described, encoding="utf-8")
        os.replace(beside, target.with_suffix(".json"))
    return part


def recall(target: Path) -> Part | None:
    """The part that stands at `target`, if it was landed to the end: the same file need not be landed again."""
    try:
        told = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
        part = Part(**{**told, "line_steps": [tuple(step) for step in told["line_steps"]]})
        whole = target.stat().st_size == part.bytes and (not part.rejects or rejects_path(target).exists())
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return part if whole else None


def make_durable(targets: Iterable[Path]) -> None:
    """Make sure that parts outlive a crash of the machine, before a record names them."""
    folders = set()
    for target in targets:
        for path in (target, rejects_path(target), target.with_suffix(".json")):
            if path.exists():
                _sync(path)
        folders.add(target.parent)
    for folder in folders:
        _sync(folder)


def rejects_path(part: Path) -> Path:
    """Where the unreadable lines of a part stand."""
    return part.with_suffix(".rejects.parquet")


@dataclass(frozen=True)
class _Texts:
    """A relation of texts.

    `relation` is SQL; `known` gives the SQL of each contract column's text, `extra` that of the others; `typed` are
    the columns that have their type already; `line` is SQL of a row's line number, `raw` that of the row as it was
    received, `extra_json` that of its unknown columns, `malformed` whether it is no row at all.
    """

    relation: str
    known: dict[str, str]
    extra: dict[str, str]
    hints: Hints
    line_offset: int
    typed: frozenset[str] = frozenset()
    line: str = "cast(null as bigint)"
    raw: str | None = None
    extra_json: str | None = None
    malformed: str | None = None


class _Landing:
    """Lands one file; a class only so that what all steps need is not passed around."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, table: Table, path: Path, scanned: Scan, working: Path
    ) -> None:
        self.connection, self.table, self.path, self.scanned, self.working = connection, table, path, scanned, working
        self.hints = Hints(no_backtick=not scanned.has_backtick, no_quote=not scanned.has_quote, nulls_read=True)

    def run(self) -> Part:
        if self.scanned.size == 0:
            raise FileFailed("is empty; a file without rows still needs its header")
        suffix = self.path.suffix.lower()
        return self._csv() if suffix == ".csv" else self._jsonl() if suffix == ".jsonl" else self._parquet()

    # -- CSV ----------------------------------------------------------------------------------------------------------

    def _csv(self) -> Part:
        header = self._header()
        texts = {column: f"c{index}" for index, column in enumerate(header)}
        known, extra = self._divide(texts)
        source = _Texts(_read_csv(self.path, list(texts.values())), known, extra, self.hints, line_offset=2)
        try:
            self._copy(source)
        except duckdb.InvalidInputException:
            # Line breaks of two kinds, among others.
            return self._csv_rewritten(source, list(texts.values()))
        rows = self._rows()
        if rows + 1 == self.scanned.lines:
            # Every line is a row: nothing was rejected, and each stands where its number says.
            return self._part(source, rows)
        rejected = self._rejected()
        if any(error == csv_records.TOO_LONG for _, error, _ in rejected):
            return self._csv_rewritten(source, list(texts.values()))
        lines = csv_records.find_lines(
            self.path, rows, [position for position, _, _ in rejected], quotes=self.scanned.has_quote
        )
        if lines is None:
            return self._csv_rewritten(source, list(texts.values()))
        rejects = [
            Reject(line, error, self._raw_line(position) if error == csv_records.ENCODING else text)
            for line, (position, error, text) in zip(lines.rejected, rejected, strict=True)
        ]
        return self._part(source, rows, rejects, lines.steps)

    def _csv_rewritten(self, source: _Texts, columns: list[str]) -> Part:
        """Where DuckDB's reader cannot split the file reliably: split it here, record by record."""
        copy = self.working.with_suffix(".csv")
        try:
            found = csv_records.rewrite(self.path, copy, len(columns))
            longest = found.longest + 32 if found.longest >= _LONGEST_BY_DEFAULT else None
            relation = _read_csv(copy, ["_number", *columns], header=False, longest=longest)
            # The columns of the copy are the same; the line number before them takes the place of the row number.
            source = replace(source, relation=relation, line="try_cast(_number as bigint)", line_offset=0)
            self._copy(source)
            rows = self._rows()
            if rows != found.rows or self._rejected():
                raise FileFailed("cannot be split into records; write it with one kind of quotes and line breaks")
            return self._part(source, rows, found.rejects)
        finally:
            copy.unlink(missing_ok=True)

    def _header(self) -> list[str]:
        with self.path.open("rb") as file:
            line = file.readline(1 << 20)
        try:
            text = line.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FileFailed("line 1: the header is not UTF-8; save the file as UTF-8") from error
        if "\0" in text:
            raise FileFailed("line 1: the header holds a NUL byte; save the file as UTF-8 text")
        if "\r" in text.rstrip("\r\n"):
            raise FileFailed("line 1: lines end with a carriage return alone; save the file with LF or CRLF")
        header = [column.strip() for column in next(csv.reader(io.StringIO(text.rstrip("\r\n"))), [])]
        if not any(header):
            raise FileFailed("line 1: the header is blank; the first line must name the columns")
        folded = [column.casefold() for column in header]
        twice = sorted({column for column in header if folded.count(column.casefold()) > 1})
        if twice:
            raise FileFailed(f"line 1: the header names the column '{twice[0]}' twice; rename or remove one")
        self._require(header, "line 1: the header", "; columns are separated by commas" if len(header) == 1 else "")
        return header

    def _raw_line(self, position: int) -> str:
        with self.path.open("rb") as file:
            file.seek(position)
            return csv_records.decode(file.readline(csv_records.LONGEST_RECORD).rstrip(b"\r\n"))

    def _line_start(self, position: int) -> int:
        """Where the line begins that DuckDB rejected: of a file with one column it may name the byte after."""
        with self.path.open("rb") as file:
            file.seek(max(0, position - 1))
            return position if position == 0 or file.read(1) == b"\n" else position - 1

    def _rejected(self) -> list[tuple[int, str, str]]:
        """The records that DuckDB could not read as (byte position, kind of error, text), one each, as in the file."""
        rows = self.connection.execute(
            "select line_byte_position, arg_min(error_type, byte_position), arg_min(csv_line, byte_position)"
            " from reject_errors group by line_byte_position order by line_byte_position"
        ).fetchall()
        return [(position, error, (text or "").strip("\r\n")) for position, error, text in rows]

    # -- JSON Lines ---------------------------------------------------------------------------------------------------

    def _jsonl(self) -> Part:
        # One text a line: a malformed line is then one row that does not fit, and the row number is the line number.
        longest = None
        relation = _read_lines(self.path)
        keys = self._keys(relation)
        contract = [column.name for column in self.table.file_columns]
        if keys:
            self._require(sorted(keys), "the first lines", "")
        while True:
            source = self._json_texts(_read_lines(self.path, longest), contract, sorted(keys - set(contract)))
            self._copy(source)
            rejected = self._rejected()
            if longest or not any(error == csv_records.TOO_LONG for _, error, _ in rejected):
                break
            longest = csv_records.longest_line(self.path) + 32
        rows = self._rows()
        seen = self._last_line()
        positions = [self._line_start(position) for position, _, _ in rejected]
        if not rejected and seen == self.scanned.lines:
            return self._part(source, rows, columns=keys & set(contract))
        lines = csv_records.find_lines(
            self.path, self.scanned.lines - len(rejected), positions, quotes=False, header=False, blank_is_row=True
        )
        if lines is None:
            raise FileFailed("cannot be split into lines; end each with LF")
        rejects = [
            Reject(line, error, self._raw_line(position))
            for line, position, (_, error, _) in zip(lines.rejected, positions, rejected, strict=True)
        ]
        return self._part(source, rows, rejects, lines.steps, keys & set(contract))

    def _keys(self, relation: str) -> set[str]:
        found = self.connection.execute(
            "select distinct unnest(json_keys(line)) from"
            f" (select line from (select line from {relation} limit 20000) where json_valid(line))"
        ).fetchall()
        return {row[0] for row in found}

    def _json_texts(self, relation: str, contract: list[str], unknown: list[str]) -> _Texts:
        numbered = f"(select line, row_number() over () - 1 as _number from {relation})"
        is_object = "case when json_valid(line) then json_type(line) = 'OBJECT' else false end"
        paths = ", ".join(literal(f'$."{column}"') for column in contract)
        objects = f"(select line, _number, {is_object} as _object from {numbered} where trim(line) <> '')"
        values = (
            f"(select *, case when _object then json_extract_string(line, [{paths}]) end as _values from {objects})"
        )
        names = ", ".join(literal(column) for column in contract)
        patch = literal("{" + ", ".join(f'"{column}": null' for column in contract) + "}")
        return _Texts(
            relation=values,
            known={
                column: _exact_number(f"_values[{index}]", self.table.by_name[column])
                for index, column in enumerate(contract, start=1)
            },
            extra=dict.fromkeys(unknown, ""),
            hints=replace(self.hints, nulls_read=False),
            line_offset=1,
            line="_number",
            raw="line",
            extra_json=(
                f"case when _object then case when len(list_filter(json_keys(line), lambda k: k not in ({names}))) > 0"
                f" then cast(json_merge_patch(line, {patch}) as varchar) end end"
            ),
            malformed="not _object",
        )

    def _last_line(self) -> int:
        row = self.connection.execute(f"select max(_line) from read_parquet({sqltext.path(self.working)})").fetchone()
        return int(row[0]) + 1 if row and row[0] is not None else 0

    # -- Parquet ------------------------------------------------------------------------------------------------------

    def _parquet(self) -> Part:
        relation = f"read_parquet({sqltext.path(self.path)})"
        described = self.connection.execute(f"describe select * from {relation}").fetchall()
        types = {row[0]: str(row[1]).lower() for row in described}
        self._require(list(types), "the file", "")
        contract = self.table.by_name
        typed = frozenset(
            column
            for column, found in types.items()
            if column in contract and found == contract[column].data_type and formats.needs_no_parsing(contract[column])
        )
        texts = {
            column: name(column) if column in typed else _as_text(column, found) for column, found in types.items()
        }
        known, extra = self._divide(texts)
        source = _Texts(relation, known, extra, Hints(), line_offset=1, typed=typed)
        self._copy(source)
        return self._part(source, self._rows())

    # -- all ----------------------------------------------------------------------------------------------------------

    def _require(self, found: Sequence[str], where: str, hint: str) -> None:
        missing = [column for column in self.table.required_columns if column not in found]
        if missing:
            shown = ", ".join(found[:12])
            raise FileFailed(f"{where} lacks the required column '{missing[0]}' (found: {shown}){hint}; add it")

    def _divide(self, texts: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        contract = {column.name for column in self.table.file_columns}
        known = {column: text for column, text in texts.items() if column in contract}
        return known, {column: text for column, text in texts.items() if column not in contract}

    def _copy(self, source: _Texts) -> None:
        """Stream the file into the working part."""
        self.connection.execute("drop table if exists reject_errors; drop table if exists reject_scans")
        self.connection.execute(
            f"copy ({_select(self.table, source, self.scanned.has_nul)}) to {literal(str(self.working))}"
            " (format parquet, compression snappy)"
        )

    def _rows(self) -> int:
        return int(pq.read_metadata(self.working).num_rows)

    def _part(
        self, source: _Texts, rows: int, rejects: Sequence[Reject] = (), steps: Sequence[tuple[int, int]] = (),
        columns: set[str] | None = None,
    ) -> Part:  # fmt: skip
        if len(steps) > _MOST_STEPS:
            self._write_lines(steps, source.line_offset)
            source, steps = replace(source, line_offset=0), []
        if rejects:
            _write_rejects(rejects_path(self.working), rejects)
        warnings = []
        if source.extra:
            names = ", ".join(sorted(source.extra)[:10])
            warnings.append(f"has columns that the contract does not know (kept, not published): {names}")
        return Part(
            rows=rows,
            rejects=len(rejects),
            misfits=_misfits(self.working),
            columns=sorted(source.known if columns is None else columns),
            extra_columns=sorted(source.extra),
            line_offset=source.line_offset,
            line_steps=list(steps),
            bytes=self.working.stat().st_size,
            warnings=warnings,
        )

    def _write_lines(self, steps: Sequence[tuple[int, int]], offset: int) -> None:
        """Write the part again with a line number in each row."""
        again, numbers = self.working.with_suffix(".lined.parquet"), self.working.with_suffix(".lines.parquet")
        firsts, shifts = (np.array(values, np.int64) for values in zip((-1, 0), *steps, strict=True))
        row = 0
        try:
            schema = pa.schema([("line_number", pa.int64())])
            with pq.ParquetFile(self.working) as part, pq.ParquetWriter(numbers, schema) as writer:
                for batch in part.iter_batches(columns=["_line"]):
                    own = batch.column(0)
                    base = np.arange(row, row + len(own)) if own.null_count else own.to_numpy()
                    lines = base + offset + shifts[np.searchsorted(firsts, base, side="right") - 1]
                    writer.write_table(pa.table([pa.array(lines, pa.int64())], schema=schema))
                    row += len(own)
            self.connection.execute(
                "copy (select p.* replace (n.line_number as _line)"
                f" from read_parquet({sqltext.path(self.working)}) as p"
                f" positional join read_parquet({sqltext.path(numbers)}) as n)"
                f" to {literal(str(again))} (format parquet, compression snappy)"
            )
            os.replace(again, self.working)
        finally:
            for path in (again, numbers):
                path.unlink(missing_ok=True)


def _read_csv(path: Path, columns: Sequence[str], header: bool = True, longest: int | None = None) -> str:
    spec = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in columns)
    return (
        f"read_csv({sqltext.path(path)}, columns = {{{spec}}}, header = {str(header).lower()}, auto_detect = false,"
        " delim = ',', quote = '\"', escape = '\"', nullstr = ['', 'NULL'], store_rejects = true, rejects_limit = 0"
        f"{_long_lines(longest)})"
    )


def _read_lines(path: Path, longest: int | None = None) -> str:
    return (
        f"read_csv({sqltext.path(path)}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,"
        " delim = '\x01', quote = '', escape = '', strict_mode = false, store_rejects = true, rejects_limit = 0"
        f"{_long_lines(longest)})"
    )


def _long_lines(longest: int | None) -> str:
    return f", max_line_size = {longest}, buffer_size = {4 * longest}, parallel = false" if longest else ""


def _exact_number(text: str, column: Column) -> str:
    """DuckDB gives a JSON number as the nearest double; a decimal of more digits than a double holds is read as
    written."""
    if column.format != "decimal":
        return text
    pattern = f'"{column.name}"' + r"\s*:\s*(-?[0-9]+[.][0-9]+)"
    same = f"lambda w: try_cast(w as double) = try_cast({text} as double)"
    written = f"list_filter(regexp_extract_all(line, {literal(pattern)}, 1), {same})[1]"
    return f"case when length({text}) > 15 then coalesce({written}, {text}) else {text} end"


def _as_text(column: str, found: str) -> str:
    if found.endswith("]") or found.startswith(("struct", "map", "union")):
        return f"cast(to_json({name(column)}) as varchar)"
    if found == "timestamp with time zone":
        return f"strftime({name(column)}, '%Y-%m-%dT%H:%M:%S.%fZ')"
    return f"cast({name(column)} as varchar)"


def _select(table: Table, source: _Texts, has_nul: bool) -> str:
    """SQL: the typed columns, then `_line`, `_bad`, `_raw` and, where there are such columns, `_extra`."""
    columns = {column.name: column for column in table.file_columns}
    texts = {f"t{index}": text for index, text in enumerate(source.known.values())}
    text_of = dict(zip(source.known, texts, strict=True))
    kept = ["line", "_number", "_object"] if source.malformed else []
    # First the texts, then their values, then what is wrong with them, so that nothing is worked out twice.
    extra_of = {column: f"x{index}" for index, column in enumerate(source.extra)}
    items = [f"{text} as {alias}" for alias, text in texts.items()]
    items += [f"{source.extra[column]} as {alias}" for column, alias in extra_of.items() if source.extra[column]]
    inner = ", ".join([*items, f"{source.line} as _line", *kept])
    values: list[str] = []
    nulls: list[str] = []
    wrong: list[str] = []
    for name_, text in text_of.items():
        column, value = columns[name_], f"v{text[1:]}"
        if name_ in source.typed:
            values.append(f"{text} as {value}")
            continue
        values.append(f"{formats.typed(text, column, source.hints)} as {value}")
        if formats.can_fail(column):
            nulls.append(f"({value} is null and {text} is not null)")
            given = f"{formats.clean(text, column, source.hints)} is not null"
            wrong.append(f"case when {value} is null and {given} then {literal(name_)} end")
        elif has_nul:
            nulls.append(f"contains({text}, chr(0))")
            wrong.append(f"case when contains({text}, chr(0)) then {literal(name_)} end")
    bad = "cast(null as varchar)"
    if wrong:
        bad = f"case when {' or '.join(nulls)} then nullif(concat_ws(',', {', '.join(wrong)}), '') end"
    if source.malformed:
        bad = f"case when {source.malformed} then {literal(MALFORMED)} else {bad} end"
    typed = ", ".join(_final(table, text_of, source))
    raw = source.raw or _object(text_of | extra_of)
    extra = source.extra_json or _object(extra_of)
    outer = [typed, "_line", "_bad", f"case when _bad is not null then {raw} end as _raw"]
    if source.extra or source.extra_json:
        outer.append(f"{extra} as _extra")
    return (
        f"select {', '.join(outer)} from (select *, {bad} as _bad"
        f" from (select *{''.join(', ' + value for value in values)} from (select {inner} from {source.relation})))"
    )


def _final(table: Table, text_of: dict[str, str], source: _Texts) -> list[str]:
    """The columns of the part that have a name in the contract."""
    items = []
    for column in table.file_columns:
        text = text_of.get(column.name)
        value = f"v{text[1:]}" if text else f"cast(null as {column.data_type})"
        items.append(f"{value} as {name(column.name)}")
    for column in metric_units(table):
        text = text_of.get(column.derived_from or "")
        unit = (
            formats.unit_of(text, column)
            if text and column.derived_from not in source.typed
            else "cast(null as varchar)"
        )
        items.append(f"{unit} as {name(column.name)}")
    return items


def metric_units(table: Table) -> list[Column]:
    """The derived columns that hold the unit of a metric: they are landed with it."""
    return [
        column for column in table.columns
        if column.derived_from and table.by_name[column.derived_from].format == "metric"
    ]  # fmt: skip


def _object(texts: dict[str, str]) -> str:
    if not texts:
        return "cast(null as varchar)"
    return f"cast(to_json({{{', '.join(f'{literal(column)}: {text}' for column, text in texts.items())}}}) as varchar)"


def _misfits(part: Path) -> int:
    """How many rows of a part have a value of the wrong type, by the statistics of `_bad`."""
    metadata = pq.read_metadata(part)
    index = metadata.schema.names.index("_bad")
    nulls = sum(
        metadata.row_group(group).column(index).statistics.null_count for group in range(metadata.num_row_groups)
    )
    return int(metadata.num_rows - nulls)


def _write_rejects(target: Path, rejects: Sequence[Reject]) -> None:
    pq.write_table(
        pa.table(
            {
                "line": pa.array([reject.line for reject in rejects], pa.int64()),
                "error": pa.array([_reject_in_words(reject.error) for reject in rejects], pa.string()),
                "text": pa.array([reject.text for reject in rejects], pa.string()),
            }
        ),
        target,
    )


def _reject_in_words(error: str) -> str:
    return {
        csv_records.MISSING: "the line has fewer columns than the header; add the missing separators",
        csv_records.TOO_MANY: "the line has more columns than the header; quote a value that holds a comma",
        csv_records.UNQUOTED: "a quote is not closed; close it or double it (the lines after it belong to this value)",
        csv_records.ENCODING: "the line is not UTF-8; save the file as UTF-8",
        csv_records.TOO_LONG: f"the line is longer than {csv_records.LONGEST_RECORD >> 20} MB; split it",
        csv_records.RETURN: "a carriage return stands in the line; remove it or quote the value",
    }.get(error, f"the line cannot be read ({error.lower()})")


def _in_words(error: duckdb.Error) -> str:
    text = str(error).split("\n")[0]
    if "parquet" in text.lower() or "magic bytes" in text:
        return f"is not a complete Parquet file ({text}); write it again"
    return text


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A name beside the target that no other process uses; gone afterwards, whatever happens."""
    working = target.with_name(f"{target.stem}.{secrets.token_hex(4)}.tmp.parquet")
    try:
        yield working
    finally:
        for path in (working, rejects_path(working), working.with_suffix(".json")):
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
