# ruff: noqa: DTZ001 (timestamps without a zone are UTC in this project)
"""Landing one file: every kind of bad input gets its own clear message, and no line is lost.

Each test writes a small file of a small table and looks at the part that comes of it, by way of `landed`, which reads
the Parquet files as anyone would. What a night makes of them is in test_validation.py.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loompin import csv_records, landing
from loompin.contracts import Column, Table
from loompin.landing import FileFailed, Part, rejects_path


def column(name: str, data_type: str, kind: str, origin: str = "catalog", **meta: Any) -> Column:
    return Column(name=name, data_type=data_type, description="", format=kind, origin=origin, **meta)


TABLE = Table(
    name="gauges", domain="monitoring", description="One row per gauge.",
    columns=(
        column("id", "varchar", "id"),
        column("label", "varchar", "text"),
        column("count", "bigint", "integer"),
        column("score", "double", "double"),
        column("price", "decimal(18,2)", "decimal"),
        column("day", "date", "date", "gained"),
        column("seen_at", "timestamp", "timestamp", "gained"),
        column("latency", "bigint", "duration", "gained"),
        column("tags", "json", "json", "gained"),
        column("figure", "decimal(38,6)", "metric", "gained"),
        column("figure_unit", "varchar", "text", "derived", **{"from": "figure"}),
    ),
)  # fmt: skip
HEADER = "id,label,count,score,price"


@dataclass
class Landed:
    """A landed file as it can be read: rows and rejects with their physical lines."""

    part: Part
    rows: list[dict[str, Any]]
    rejects: list[tuple[int, str, str]]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    @property
    def lines(self) -> list[int]:
        return self.column("line")

    @property
    def wrong(self) -> list[tuple[int, str, str]]:
        """(line, column, text) of each value of the wrong type."""
        found = []
        for row in self.rows:
            if row["_bad"] and row["_bad"] != landing.MALFORMED:
                texts = json.loads(row["_raw"], parse_float=str, parse_int=str)
                found += [(row["line"], name, texts[name]) for name in row["_bad"].split(",")]
        return found


def land(path: Path, target: Path | None = None) -> Landed:
    target = target or path.parent / "raw" / "part.parquet"
    connection = landing.connect()
    part = landing.land(connection, TABLE, path, landing.scan(path), target)
    rows = pq.read_table(target).to_pylist()
    for index, row in enumerate(rows):
        base = index if row["_line"] is None else row["_line"]
        row["line"] = base + part.line_offset + ([0] + [shift for first, shift in part.line_steps if first <= base])[-1]
    rejects = []
    if part.rejects:
        table = pq.read_table(rejects_path(target)).to_pylist()
        rejects = [(row["line"], row["error"], row["text"]) for row in table]
    assert part.rows == len(rows)
    assert part.rejects == len(rejects)
    assert part.misfits == sum(row["_bad"] is not None for row in rows)
    assert part.bytes == target.stat().st_size
    assert sorted(file.name for file in target.parent.iterdir()) == sorted(
        [target.name, target.with_suffix(".json").name] + ([rejects_path(target).name] if part.rejects else [])
    )
    return Landed(part, rows, rejects)


def write(folder: Path, content: str | bytes, name: str = "gauges.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def failure(path: Path) -> str:
    target = path.parent / "raw" / "part.parquet"
    with pytest.raises(FileFailed) as caught:
        landing.land(landing.connect(), TABLE, path, landing.scan(path), target)
    assert list((path.parent / "raw").iterdir()) == []
    return str(caught.value)


# -- values ----------------------------------------------------------------------------------------------------------


def test_a_good_file_is_typed_by_its_contract(tmp_path: Path) -> None:
    landed = land(write(
        tmp_path,
        "score,id,count,label,price,day,seen_at,latency,tags,figure\n"
        '0.5,g1,12,"a, b",19.99,2026-02-01,2026-02-01T12:00:00+02:00,12.5s,"[""x""]",$1.2M\n'
        "NaN,`g2`,,NULL,,,,,,\n",
    ))  # fmt: skip
    first, second = landed.rows
    assert (first["id"], first["label"], first["count"], first["score"]) == ("g1", "a, b", 12, 0.5)
    assert (first["price"], first["day"]) == (Decimal("19.99"), date(2026, 2, 1))
    assert (first["seen_at"], first["latency"]) == (datetime(2026, 2, 1, 10), 12500)
    assert (first["tags"], first["figure"], first["figure_unit"]) == ('["x"]', Decimal(1200000), "usd")
    assert second["id"] == "g2"
    assert [second[name] for name in ("label", "count", "price", "day", "tags", "figure_unit")] == [None] * 6
    assert second["score"] != second["score"]
    assert landed.lines == [2, 3]
    assert landed.wrong == []
    assert list(first)[:11] == [c.name for c in TABLE.columns]


def test_wrong_values_keep_their_text_and_place(tmp_path: Path) -> None:
    landed = land(write(
        tmp_path,
        f"{HEADER},day,latency\n"
        "g1,a,1,0.1,1,2026-02-01,24ms\n"
        "g2,b,many,0.2,2,2026-02-30,12.5 parsecs\n"
        "g3,c,1.5,high,1.999,,\n",
    ))  # fmt: skip
    assert landed.wrong == [
        (3, "count", "many"), (3, "day", "2026-02-30"), (3, "latency", "12.5 parsecs"),
        (4, "count", "1.5"), (4, "score", "high"), (4, "price", "1.999"),
    ]  # fmt: skip
    assert landed.rows[1]["count"] is None
    assert landed.rows[1]["label"] == "b"


@pytest.mark.parametrize("text", [
    "'); drop table users; --", "=HYPERLINK(\"\"http://x\"\")", "../../etc/passwd", "${HOME}", "{{ night() }}",
    "%s%n", "\\N",
])  # fmt: skip
def test_text_stays_text(tmp_path: Path, text: str) -> None:
    landed = land(write(tmp_path, f'{HEADER}\ng1,"{text}",1,1,1\n'))
    assert landed.column("label") == [text.replace('""', '"')]


@pytest.mark.parametrize("name", [
    "gau'ges.csv", "a;b.csv", "new\nline.csv", "*.csv", "[ab].csv", "what?.csv", "s3:x.csv", 'quo"te.csv',
    "é🙂.csv", "-x.csv",
])  # fmt: skip
def test_a_file_of_any_name_is_that_file(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{HEADER}\nother,other,0,0,0\n", "a.csv")
    assert land(write(tmp_path, f"{HEADER}\ng1,a,1,1,1\n", name)).column("id") == ["g1"]


def test_a_cell_of_ten_megabytes(tmp_path: Path) -> None:
    big = "x" * 10_000_000
    landed = land(write(tmp_path, f'{HEADER}\ng1,a,1,1,1\ng2,"{big}",2,2,2\ng3,c,{big},3,3\ng4,d,4,4\ng5,e,5,5,5\n'))
    assert landed.column("id") == ["g1", "g2", "g3", "g5"]
    assert landed.rows[1]["label"] == big
    assert landed.wrong == [(4, "count", big)]
    assert [(line, text) for line, _, text in landed.rejects] == [(5, "g4,d,4,4")]
    assert landed.lines == [2, 3, 4, 6]


def test_an_extra_column_is_kept_and_told(tmp_path: Path) -> None:
    landed = land(write(tmp_path, f'{HEADER},mood,"odd ""one"\ng1,a,1,1,1,good,7\n'))
    assert landed.part.extra_columns == ["mood", 'odd "one']
    assert landed.rows[0]["_extra"] == '{"mood":"good","odd \\"one":"7"}'
    assert "does not know" in landed.part.warnings[0]
    assert "mood" in landed.part.warnings[0]
    assert landed.part.columns == ["count", "id", "label", "price", "score"]


# -- lines -----------------------------------------------------------------------------------------------------------


def test_ragged_lines_are_rejected_with_line_and_text(tmp_path: Path) -> None:
    landed = land(write(tmp_path, f"{HEADER}\ng1,a,1,1,1\ng2,b,2\n\ng3,c,3,3,3,3,3\ng4,d,4,4,4\n"))
    assert [(line, text) for line, _, text in landed.rejects] == [(3, "g2,b,2"), (5, "g3,c,3,3,3,3,3")]
    assert "fewer columns" in landed.rejects[0][1]
    assert "more columns" in landed.rejects[1][1]
    assert landed.lines == [2, 6]


def test_an_unclosed_quote_takes_the_rest_with_it_and_loses_nothing(tmp_path: Path) -> None:
    landed = land(write(tmp_path, f'{HEADER}\ng1,a,1,1,1\ng2,"b,2,2,2\ng3,c,3,3,3\n'))
    assert landed.column("id") == ["g1"]
    ((line, error, text),) = landed.rejects
    assert (line, text) == (3, 'g2,"b,2,2,2\ng3,c,3,3,3')
    assert "quote is not closed" in error


def test_an_unclosed_quote_before_another_quote(tmp_path: Path) -> None:
    landed = land(write(tmp_path, f'{HEADER}\ng1,"a,1,1,1\ng2,"b",2,2,2\ng3,c,3,3,3\n'))
    assert landed.column("id") == ["g3"]
    assert landed.lines == [4]
    assert [(line, text) for line, _, text in landed.rejects] == [(2, 'g1,"a,1,1,1\ng2,"b",2,2,2')]


def test_an_unclosed_quote_in_a_large_file_loses_nothing(tmp_path: Path) -> None:
    lines = [f"g{n},a,{n},1,1" for n in range(400_000)]
    lines[7] = 'g7,"a,7,1,1'
    landed = land(write(tmp_path, "\n".join([HEADER, *lines]) + "\n"))
    ((line, _, text),) = landed.rejects
    assert (line, len(landed.rows)) == (9, 7)
    assert text.split("\n") == lines[7:]


def test_a_stray_quote_never_swallows_more_than_the_longest_record(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(csv_records, "LONGEST_RECORD", 1000)
    lines = [f"g{n},a,{n},1,1" for n in range(500)]
    lines[7] = 'g7,"a,7,1,1'
    landed = land(write(tmp_path, "\n".join([HEADER, *lines]) + "\n"))
    assert [(line, text) for line, _, text in landed.rejects] == [(9, 'g7,"a,7,1,1')]
    assert landed.column("id") == [f"g{n}" for n in range(500) if n != 7]
    assert landed.lines == [n + 2 for n in range(500) if n != 7]


def test_unpaired_quotes_inside_values_are_no_quotes(tmp_path: Path) -> None:
    landed = land(
        write(tmp_path, f'{HEADER}\ng1",5" pipe,1,1,1\ng2,b\n"g3","""c""",3,3,3\ng4,"d\ne",4,4,4\ng5,f,5,5,5\n')
    )
    assert landed.column("id") == ["g1", "g3", "g4", "g5"]
    assert landed.column("label") == ['5" pipe', '"c"', "d\ne", "f"]
    assert landed.lines == [2, 4, 5, 7]
    assert [line for line, _, _ in landed.rejects] == [3]


def test_line_numbers_of_quoted_breaks_blank_lines_and_rejects(tmp_path: Path) -> None:
    landed = land(write(
        tmp_path,
        f'{HEADER}\n\ng1,"two\nlines",1,1,1\ng2,b,2,2\n\n\ng3,"three\n\nlines",3,3,3\ng4,d,4,4,4\ng5,"e\n",5\ng6,f,x,6,6\n\n',
    ))  # fmt: skip
    assert dict(zip(landed.column("id"), landed.lines, strict=True)) == {"g1": 3, "g3": 8, "g4": 11, "g6": 14}
    assert [line for line, _, _ in landed.rejects] == [5, 12]
    assert landed.wrong == [(14, "count", "x")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_both_line_endings(tmp_path: Path, end: str) -> None:
    text = end.join([HEADER, "g1,a,1,1,1", "", 'g2,"x\ny",2,2,2', 'g3,"x\r\ny",3,3,3', "g4,d", "g5,e,5,5,5", ""])
    landed = land(write(tmp_path, text))
    assert dict(zip(landed.column("id"), landed.lines, strict=True)) == {"g1": 2, "g2": 4, "g3": 6, "g5": 9}
    assert landed.column("label") == ["a", "x\ny", "x\r\ny", "e"]
    assert [(line, text) for line, _, text in landed.rejects] == [(8, "g4,d")]


def test_line_endings_of_two_kinds_in_one_file(tmp_path: Path) -> None:
    landed = land(write(tmp_path, f'{HEADER}\r\ng1,a,1,1,1\ng2,b,2,2,2\r\n\r\ng3,"c\r\nd",3,3,3\ng4,e\r\ng5,f,5,5,5'))
    assert dict(zip(landed.column("id"), landed.lines, strict=True)) == {"g1": 2, "g2": 3, "g3": 5, "g5": 8}
    assert landed.rows[2]["label"] == "c\r\nd"
    assert [(line, text) for line, _, text in landed.rejects] == [(7, "g4,e")]


def test_a_bare_carriage_return_rejects_its_line_alone(tmp_path: Path) -> None:
    landed = land(write(tmp_path, f"{HEADER}\ng1,a\rb,1,1,1\ng2,b,2,2,2\n"))
    assert landed.column("id") == ["g2"]
    ((line, error, text),) = landed.rejects
    assert (line, text) == (2, "g1,a\rb,1,1,1")
    assert "carriage return" in error


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    landed = land(write(tmp_path, b"\xef\xbb\xbf" + f"{HEADER}\ng1,a,1,1,1\ng2,b\n".encode()))
    assert landed.column("id") == ["g1"]
    assert landed.part.extra_columns == []
    assert [line for line, _, _ in landed.rejects] == [3]


def test_latin_1_bytes_are_rejected_and_shown_as_what_they_were(tmp_path: Path) -> None:
    landed = land(write(tmp_path, f"{HEADER}\ng1,a,1,1,1\ng2,".encode() + b"M\xfcller,2,2,2\ng3,c,3,3,3\n"))
    assert landed.column("id") == ["g1", "g3"]
    assert landed.lines == [2, 4]
    ((line, error, text),) = landed.rejects
    assert (line, text) == (3, "g2,Müller,2,2,2")
    assert "UTF-8" in error


def test_a_nul_byte_is_a_value_of_the_wrong_type(tmp_path: Path) -> None:
    landed = land(write(tmp_path, f"{HEADER}\ng1,a\0b,1,1,1\ng2,b,\0,2,2\ng3,c,3,3,3\n"))
    assert landed.wrong == [(2, "label", "a\0b"), (3, "count", "\0")]
    assert landed.column("id") == ["g1", "g2", "g3"]


def test_many_rejects_and_many_lines_a_record(tmp_path: Path) -> None:
    lines, expected, line = [HEADER], {}, 2
    for n in range(3000):
        if n % 5 == 0:
            lines.append(f"r{n},short")
            line += 1
        elif n % 5 == 1:
            lines.append(f'g{n},"two\nlines",{n},1,1')
            expected[f"g{n}"] = line
            line += 2
        else:
            lines.append(f"g{n},a,{n},1,1")
            expected[f"g{n}"] = line
            line += 1
    landed = land(write(tmp_path, "\n".join(lines)))
    assert dict(zip(landed.column("id"), landed.lines, strict=True)) == expected
    assert len(landed.rejects) == 600
    assert landed.part.line_steps == []


def test_lines_of_a_file_longer_than_a_chunk(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(csv_records, "_CHUNK", 7)
    for end in ("\n", "\r\n"):
        text = end.join([HEADER, "g1,a,1,1,1", "", 'g2,"x\ny",2,2,2', "g3,c", "", "", "g4,d,4,4,4"])
        landed = land(write(tmp_path, text), tmp_path / end.encode().hex() / "part.parquet")
        assert dict(zip(landed.column("id"), landed.lines, strict=True)) == {"g1": 2, "g2": 4, "g4": 9}
        assert [line for line, _, _ in landed.rejects] == [6]


# -- whole files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [HEADER, HEADER + "\n", HEADER + "\r\n", HEADER + "\n\n\n"])
def test_a_header_only_is_a_table_without_rows(tmp_path: Path, content: str) -> None:
    landed = land(write(tmp_path, content))
    assert (landed.rows, landed.rejects) == ([], [])


@pytest.mark.parametrize(("content", "words"), [
    (b"", ["is empty", "needs its header"]),
    (b"\n\n", ["line 1", "header is blank"]),
    (b"id,label,count,price\ng1,a,1,1\n", ["line 1", "required column 'score'", "found: id, label, count, price"]),
    (b"id;label;count;score;price\n", ["required column 'id'", "separated by commas"]),
    (b"id,label,count,score,price,label\n", ["line 1", "'label' twice"]),
    (b"id,label,count,score,price,LABEL\n", ["line 1", "twice"]),
    ("id,läbel".encode("latin-1") + b"\n", ["line 1", "not UTF-8"]),
    (HEADER.encode("utf-16"), ["line 1", "UTF-8"]),
    (b"id,la\0bel\n", ["line 1", "NUL"]),
    (b"id,label,count,score,price\rg1,a,1,1,1\r", ["line 1", "carriage return"]),
])  # fmt: skip
def test_a_file_without_a_usable_header_fails_with_the_line(tmp_path: Path, content: bytes, words: list[str]) -> None:
    message = failure(write(tmp_path, content))
    assert all(word in message for word in words), message


def test_a_file_that_cannot_be_read_fails(tmp_path: Path) -> None:
    with pytest.raises(FileFailed, match="cannot be read"):
        landing.scan(tmp_path)
    with pytest.raises(FileFailed, match="cannot be read"):
        landing.scan(tmp_path / "gone.csv")


def test_a_file_that_changes_while_it_is_read_fails(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER}\ng1,a,1,1,1\n")
    scanned = landing.scan(path)
    with path.open("a") as file:
        file.write("g2,b,2,2,2\n")
    with pytest.raises(FileFailed, match="still being written"):
        landing.land(landing.connect(), TABLE, path, scanned, tmp_path / "raw" / "part.parquet")
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_file_that_someone_else_is_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "gauges.csv"
    path.write_text(f"{HEADER}\n" + "g1,a,1,1,1\n" * 1000)
    stop = threading.Event()

    def writer() -> None:
        with path.open("a", buffering=1) as file:
            while not stop.wait(0.001):
                file.write("g1,a,1,1,1\n")

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        scanned = landing.scan(path)
        time.sleep(0.01)
        with pytest.raises(FileFailed, match="still being written"):
            landing.land(landing.connect(), TABLE, path, scanned, tmp_path / "raw" / "part.parquet")
    finally:
        stop.set()
        thread.join()


def test_an_unfinished_line_of_a_file_that_is_open_elsewhere_is_not_taken_for_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, f"{HEADER}\ng1,a,1,1,1\ng2,b,2,2")
    assert landing.scan(path).lines == 3

    def refuse(descriptor: int, command: int, argument: int) -> None:
        raise OSError(errno.EAGAIN, "open for writing")

    monkeypatch.setattr(landing.fcntl, "fcntl", refuse)
    with pytest.raises(FileFailed, match="still being written"):
        landing.scan(path)
    # A file that ends with a line, or that nobody has touched for a while, is whole.
    assert landing.scan(write(tmp_path, f"{HEADER}\n", "whole.csv")).lines == 1
    os.utime(path, (0, 0))
    assert landing.scan(path).lines == 3


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_landing import TABLE
from loompin import landing
path, target = Path({path!r}), Path({target!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
scanned = landing.scan(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    landing.land(landing.connect(temp=target.parent), TABLE, path, scanned, target)
except OSError as error:
    print("OSError", error)
"""


def test_a_full_disk_is_no_fault_of_the_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "\n" + "".join(f"g{n},{os.urandom(40).hex()},{n},1,1\n" for n in range(20_000)))
    target = tmp_path / "raw" / "part.parquet"
    code = FULL_DISK.format(tests=str(Path(__file__).parent), path=str(path), target=str(target))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    assert done.stdout.startswith("OSError"), done.stdout + done.stderr
    assert "gauges.csv" in done.stdout
    assert "write" in done.stdout
    assert list(target.parent.iterdir()) == []


def test_memory_stays_bounded(tmp_path: Path) -> None:
    code = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_landing import TABLE
from loompin import landing
path = Path({str(tmp_path / "gauges.csv")!r})
line = b"g1,\\"" + b"x" * 900 + b"\\n\\",1,1,1\\n"
with path.open("wb") as file:
    file.write(b"{HEADER}\\n")
    for _ in range(1000):
        file.write(line * 1000)
connection = landing.connect(memory_limit="200MB", temp=path.parent)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
part = landing.land(connection, TABLE, path, landing.scan(path), path.parent / "raw" / "p.parquet")
print(part.rows, path.stat().st_size >> 20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    assert done.returncode == 0, done.stderr
    rows, megabytes, grown = map(int, done.stdout.split())
    assert rows == 1_000_000
    assert megabytes > 850
    assert grown < 800


# -- JSON Lines and Parquet ------------------------------------------------------------------------------------------


def test_json_lines(tmp_path: Path) -> None:
    landed = land(write(
        tmp_path,
        '{"id": "g1", "label": "a", "count": 1, "score": 0.5, "price": 19.99, "tags": ["x"], "mood": {"k": 1}}\n'
        "\n"
        '{"price": "2.00", "score": null, "count": "7", "label": "line\\nbreak", "id": "g2"}\n'
        '{"id": "g3", "label": \n'
        "[1, 2]\n"
        '{"id": "g4", "label": true, "count": 1.5, "score": "high", "price": 1.999}\n'
        "   \n"
        '{"id": "g5", "count": 12.0}',
        "gauges.jsonl",
    ))  # fmt: skip
    assert landed.lines == [1, 3, 4, 5, 6, 8]
    assert landed.column("id") == ["g1", "g2", None, None, "g4", "g5"]
    assert landed.column("_bad") == [None, None, "*", "*", "count,score,price", None]
    assert landed.rows[0]["tags"] == '["x"]'
    assert landed.rows[0]["_extra"] == '{"mood":{"k":1}}'
    assert landed.part.extra_columns == ["mood"]
    assert landed.rows[1]["label"] == "line\nbreak"
    assert landed.rows[1]["price"] == Decimal("2.00")
    assert landed.rows[2]["_raw"] == '{"id": "g3", "label": '
    assert landed.wrong == [(6, "count", "1.5"), (6, "score", "high"), (6, "price", "1.999")]
    assert landed.rows[5]["count"] == 12
    assert landed.rows[5]["label"] is None


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_json_lines_with_wrong_bytes_keep_their_numbers(tmp_path: Path, end: bytes) -> None:
    good = b'{"id": "g%d", "label": "a", "count": 1, "score": 1, "price": 1}'
    lines = [good % 1, b'{"id": "M\xfcller"}', b"", good % 2, b'{"id": "\xff"}', good % 3, b""]
    landed = land(write(tmp_path, end.join(lines), "gauges.jsonl"))
    assert dict(zip(landed.column("id"), landed.lines, strict=True)) == {"g1": 1, "g2": 4, "g3": 6}
    assert [(line, text) for line, _, text in landed.rejects] == [(2, '{"id": "Müller"}'), (5, '{"id": "ÿ"}')]


def test_json_lines_with_many_wrong_bytes(tmp_path: Path) -> None:
    good = b'{"id": "g%d", "label": "a", "count": 1, "score": 1, "price": 1}'
    lines = [good % n if n % 3 else b'"\xfc"' for n in range(1000)]
    landed = land(write(tmp_path, b"\n".join(lines), "gauges.jsonl"))
    assert landed.lines == [n + 1 for n in range(1000) if n % 3]
    assert len(landed.rejects) == 334


def test_a_json_cell_of_ten_megabytes(tmp_path: Path) -> None:
    big = "x" * 10_000_000
    line = '{"id": "g%d", "label": "%s", "count": 1, "score": 1, "price": 1}\n'
    landed = land(write(tmp_path, line % (1, "a") + line % (2, big) + line % (3, "c"), "gauges.jsonl"))
    assert landed.lines == [1, 2, 3]
    assert landed.rows[1]["label"] == big


@pytest.mark.parametrize(
    "number", ["1234567890123456.78", "-0.10", "100", '"1234567890123456.78"', "1234567890123456.781"]
)
def test_a_json_number_is_not_rounded(tmp_path: Path, number: str) -> None:
    line = f'{{"id": "g1", "label": "a", "count": 1, "score": 1, "tags": {{"price": 1.5}}, "price" : {number}}}'
    landed = land(write(tmp_path, line, "gauges.jsonl"))
    text = number.strip('"')
    if text.endswith("781"):
        assert landed.wrong == [(1, "price", text)]
    else:
        assert landed.column("price") == [Decimal(text)]


def test_json_lines_without_a_required_column_fail(tmp_path: Path) -> None:
    message = failure(write(tmp_path, '{"id": "g1", "label": "a", "count": 1, "price": 1}\n', "gauges.jsonl"))
    assert "required column 'score'" in message


def parquet(folder: Path, columns: dict[str, pa.Array]) -> Path:
    path = folder / "gauges.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_of_the_contracts_types(tmp_path: Path) -> None:
    landed = land(parquet(tmp_path, {
        "id": pa.array(["g1", '"g2']), "label": pa.array(["a", "NULL"]), "count": pa.array([1, None], pa.int64()),
        "score": pa.array([0.5, float("nan")]), "price": pa.array([Decimal("19.99"), None], pa.decimal128(18, 2)),
        "day": pa.array([date(2026, 2, 1), None]), "seen_at": pa.array([datetime(2026, 2, 1, 12), None],
        pa.timestamp("us")),
    }))  # fmt: skip
    assert landed.column("id") == ["g1", "g2"]
    assert landed.column("label") == ["a", None]
    assert landed.column("price") == [Decimal("19.99"), None]
    assert landed.column("day") == [date(2026, 2, 1), None]
    assert landed.column("seen_at") == [datetime(2026, 2, 1, 12), None]
    assert landed.lines == [1, 2]
    assert landed.wrong == []


def test_parquet_of_other_types_is_cast_as_text_would_be(tmp_path: Path) -> None:
    landed = land(parquet(tmp_path, {
        "id": pa.array([1, 2]), "label": pa.array([True, None]), "count": pa.array(["12", "many"]),
        "score": pa.array(["0.5", ""]), "price": pa.array([19.99, 1.999]),
        "day": pa.array([datetime(2026, 2, 1), datetime(2026, 2, 1, 12)], pa.timestamp("us")),
        "seen_at": pa.array([datetime(2026, 2, 1, 12), None], pa.timestamp("us", "Europe/Berlin")),
        "tags": pa.array([["a", "b"], None]), "latency": pa.array(["24ms", "12.5 parsecs"]), "mood": pa.array([1, 2]),
    }))  # fmt: skip
    assert landed.column("id") == ["1", "2"]
    assert landed.column("count") == [12, None]
    assert landed.rows[0]["price"] == Decimal("19.99")
    assert landed.rows[0]["seen_at"] == datetime(2026, 2, 1, 12)
    assert landed.rows[0]["tags"] == '["a","b"]'
    assert landed.part.extra_columns == ["mood"]
    assert landed.rows[0]["_extra"] == '{"mood":"1"}'
    assert landed.wrong == [
        (2, "count", "many"), (2, "price", "1.999"), (2, "day", "2026-02-01 12:00:00"), (2, "latency", "12.5 parsecs"),
    ]  # fmt: skip


def test_a_parquet_file_without_a_required_column_fails(tmp_path: Path) -> None:
    assert "required column 'label'" in failure(parquet(tmp_path, {"id": pa.array(["g1"])}))


@pytest.mark.parametrize("keep", [0.5, 0.98])
def test_a_truncated_parquet_file_fails(tmp_path: Path, keep: float) -> None:
    path = parquet(tmp_path, {name: pa.array(["1"] * 1000) for name in ("id", "label", "count", "score", "price")})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    assert "not a complete Parquet file" in failure(path)


def test_a_text_file_named_parquet_fails(tmp_path: Path) -> None:
    assert "not a complete Parquet file" in failure(write(tmp_path, f"{HEADER}\n", "gauges.parquet"))


def test_the_same_bytes_have_the_same_content_hash(tmp_path: Path) -> None:
    one, two = write(tmp_path, b"abc", "a.csv"), write(tmp_path, b"abc", "b.csv")
    assert landing.scan(one).content == landing.scan(two).content
    assert landing.scan(write(tmp_path, b"abd", "c.csv")).content != landing.scan(one).content
    assert not landing.changed_since(one, landing.scan(one))
    time.sleep(0.01)
    one.write_bytes(b"abc")
    assert landing.changed_since(one, landing.scan(two))
