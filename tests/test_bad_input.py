"""Every kind of bad input in one night: what is quarantined, where, and why; the good rows beside it count.

How one file is landed is in test_landing.py, which rows break which rule in test_validation.py. Here the pieces are
together: source folder, night, warehouse.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_home import ACME, Home, check_of

from loompin import landing, sources
from loompin import night as nights
from loompin.night import Landed

GOOD_EVENT = "u1,acme_1,ai.input.1k,1,2026-01-05T10:00:00Z,2026-01-05T10:00:01Z,"
EVENTS = "event_id,tenant_id,driver_key,quantity,occurred_at,received_at,cancels_event_id"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def put(home: Home, name: str, content: str | bytes) -> None:
    path = home.settings.source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def quarantine(home: Home, table: str) -> list[tuple[Any, ...]]:
    """(file, line, rule, column, value, reason) of a table, in the order of files and lines."""
    return home.landing(
        "select source_file, source_line, rule, column_name, value, reason from landing.quarantine"
        f" where table_name = '{table}' order by source_file, source_line, column_name"
    )


def audit(landed: Landed, table: str) -> dict[str, tuple[int, int, int, int, int]]:
    """(read, accepted, quarantined, duplicate, superseded) by file."""
    found = next(entry for entry in landed.tables if entry.table == table)
    return {
        a.source_file: (a.rows_read, a.rows_accepted, a.rows_quarantined, a.rows_duplicate, a.rows_superseded)
        for a in found.files
    }


def conserved(home: Home, landed: Landed) -> None:
    """Every row read is accepted, quarantined, a duplicate or superseded; the accepted ones are those of the views."""
    for table in landed.tables:
        for file in table.files:
            parts = (file.rows_accepted, file.rows_quarantined, file.rows_duplicate, file.rows_superseded)
            assert file.rows_read == sum(parts), (table.table, file)
            assert min(parts) >= 0, (table.table, file)
        assert table.rows == len(home.rows(table.table, "1")), table.table


def test_everything_at_once(home: Home) -> None:
    put(
        home, "customers.csv",
        "id,tenant_id,email,name,health_score\n"
        "c1,acme_1,a@b.co,Ann,85\n"
        "c2,acme_1,b@b.co,Bob,many\n"
        "c3,acme_1,c@b.co\n"
        'c4,acme_1,d@b.co,"Two\nlines",1.5\n'
        "c5,acme_1,e@b.co,Eve,70,extra\n"
        "c6,acme_1,f@b.co,Fay,90\n"
        "c6,acme_1,f@b.co,Fay,90\n"
        "c6,acme_1,g@b.co,Gus,10\n",
    )  # fmt: skip
    put(
        home,
        "documents.csv",
        "\ufeffid,title,type,status,size\r\nd1,Guide,PDF,draft,1.2MB\r\nd2,Plan,PDF,draft,12.5 parsecs\r\n",
    )
    put(
        home,
        "surveys.csv",
        b"id,tenant_id,title,status\ns1,acme_1," + b"Caf\xe9,active\ns2,acme_1,Bar,active\n",
    )
    put(home, "segments.csv", 'id,name,size,primary_trait\nsg1,a\0b,1,x\nsg2,b,2,"open\nsg3,c,3,y\n')
    put(
        home, "customer_events.jsonl",
        '{"id": "e1", "tenant_id": "acme_1", "event_type": "t", "sentiment_score": "NaN", "summary": "a"}\n'
        '{"id": "e2", "tenant_id": "acme_1", "event_type": "t", "sentiment_score": "Infinity", "summary": "b"}\n'
        '{"id": "e3", "tenant_id": \n'
        '{"id": "e4", "tenant_id": "acme_1", "event_type": "t", "sentiment_score": 0.5, "summary": "c"}\n'
        '{"id": "e5", "tenant_id": "acme_1", "event_type": "t", "sentiment_score": "low", "summary": "d"}\n',
    )  # fmt: skip
    put(
        home,
        "validation_rules.csv",
        'entity_type,field_name,rule_type,params\nevent,sentiment_score,range,"{""min"": -1, ""max"": 1}"\n',
    )
    pq.write_table(
        pa.table({name: ["5", "x"] for name in ("user_id", "device_id", "draft_key", "content_json", "updated_at")}),
        home.settings.source / "mobile_drafts.parquet",
    )
    put(
        home,
        "usage_events.csv",
        f"{EVENTS}\n{GOOD_EVENT}\nu2,lex_corp,ai.input.1k,1,2026-02-30,2026-01-05T10:00:00Z,\n",
    )
    put(home, "notes.csv", "a,b\n1,2\n")
    landed = home.night("2026-01-20")
    conserved(home, landed)
    assert landed.blocking == []
    assert landed.unknown_files == ["notes.csv"]

    whole = "expected a whole number such as 12"
    assert quarantine(home, "customers") == [
        ("customers.csv", 3, "health_score_type", "health_score", "many", whole),
        ("customers.csv", 4, "malformed_row", None, "c3,acme_1,c@b.co",
         "the line has fewer columns than the header; add the missing separators"),
        ("customers.csv", 5, "health_score_type", "health_score", "1.5", whole),
        ("customers.csv", 7, "malformed_row", None, "c5,acme_1,e@b.co,Eve,70,extra",
         "the line has more columns than the header; quote a value that holds a comma"),
        ("customers.csv", 10, "duplicate_key", "id", "c6", "another row has this key (id) and other content"),
    ]  # fmt: skip
    assert audit(landed, "customers") == {"customers.csv": (8, 2, 5, 1, 0)}
    assert quarantine(home, "documents") == [
        ("documents.csv", 3, "size_type", "size", "12.5 parsecs", "expected a size such as 1.2MB or 450KB"),
    ]  # fmt: skip
    assert home.rows("documents", "id, size") == [("d1", 1_200_000)]
    assert quarantine(home, "surveys") == [
        ("surveys.csv", 2, "malformed_row", None, "s1,acme_1,Café,active",
         "the line is not UTF-8; save the file as UTF-8"),
    ]  # fmt: skip
    assert quarantine(home, "segments") == [
        ("segments.csv", 2, "malformed_row", "name", "a\0b", "the text holds a NUL byte; remove it"),
        ("segments.csv", 3, "malformed_row", None, 'sg2,b,2,"open\nsg3,c,3,y',
         "a quote is not closed; close it or double it (the lines after it belong to this value)"),
    ]  # fmt: skip
    assert quarantine(home, "customer_events") == [
        ("customer_events.jsonl", 1, "sentiment_score_range", "sentiment_score", "nan",
         "expected a number of at least -1 and at most 1"),
        ("customer_events.jsonl", 2, "sentiment_score_range", "sentiment_score", "inf",
         "expected a number of at least -1 and at most 1"),
        ("customer_events.jsonl", 3, "malformed_row", None, '{"id": "e3", "tenant_id": ',
         "the line is not a JSON object; write one object a line"),
        ("customer_events.jsonl", 5, "sentiment_score_type", "sentiment_score", "low",
         "expected a number such as 0.5"),
    ]  # fmt: skip
    assert audit(landed, "customer_events") == {"customer_events.jsonl": (5, 1, 4, 0, 0)}
    assert [row[1:4] for row in quarantine(home, "mobile_drafts")] == [
        (1, "updated_at_type", "updated_at"),
        (2, "content_json_type", "content_json"),
        (2, "updated_at_type", "updated_at"),
    ]
    assert audit(landed, "mobile_drafts") == {"mobile_drafts.parquet": (2, 0, 2, 0, 0)}
    assert quarantine(home, "usage_events") == [
        ("usage_events.csv", 3, "occurred_at_type", "occurred_at", "2026-02-30",
         "expected a timestamp such as 2026-01-15T23:59:59Z (UTC if it has no offset)"),
    ]  # fmt: skip
    assert home.rows("usage_events", "event_id, tenant_id, tenant_slug") == [("u1", ACME, "acme_1")]
    assert check_of(landed, "customers.health_score_type").rows_failed == 2
    assert check_of(landed, "customers.malformed_row").sample_keys == ["customers.csv:4", "customers.csv:7"]
    assert check_of(landed, "customers.duplicate_key").sample_keys == ["customers.csv:10 (id=c6)"]


def test_the_row_of_the_quarantine_is_there_as_it_was_received(home: Home) -> None:
    put(home, "documents.csv", 'id,title,type,status,size,mood\nd1,"say ""hi""",PDF,`draft`,big,good\nd2,x\n')
    home.night("2026-01-20")
    rows = home.landing("select row_json from landing.quarantine where table_name = 'documents' order by source_line")
    assert [json.loads(row[0]) for row in rows] == [
        {"id": "d1", "title": 'say "hi"', "type": "PDF", "status": "`draft`", "size": "big", "mood": "good"},
        {"_line": "d2,x"},
    ]


@pytest.mark.parametrize(("name", "content", "words"), [
    ("documents.csv", "", ["is empty"]),
    ("documents.csv", "id,title,type,status\nd1,a,PDF,draft\n", ["line 1", "required column 'size'"]),
    ("documents.csv", "id,title,type,status,size,title\n", ["line 1", "'title' twice"]),
    ("documents.parquet", "PAR1 and no more", ["not a complete Parquet file"]),
])  # fmt: skip
def test_a_file_that_fails_is_told_by_name_and_stops_no_other(
    home: Home, name: str, content: str, words: list[str]
) -> None:
    put(home, name, content)
    put(home, "documents/more.csv", "id,title,type,status,size\nd9,a,PDF,draft,1KB\n")
    put(home, "customers.csv", "id,tenant_id,email,name,health_score\nc1,acme_1,a@b.co,Ann,85\n")
    landed = home.night("2026-01-20")
    check = check_of(landed, "documents.files_landed")
    assert (check.status, check.rows_failed, check.sample_keys) == ("fail", 1, [name])
    assert all(word in check.message for word in [name, *words]), check.message
    assert home.rows("documents", "id") == [("d9",)]
    assert home.rows("customers", "id") == [("c1",)]
    assert landed.blocking == []
    conserved(home, landed)


@pytest.mark.parametrize("table", ["documents", "plans"])
def test_what_is_no_file_fails_and_ends_the_night_where_billing_needs_it(home: Home, table: str) -> None:
    (home.settings.source / f"{table}.csv").mkdir()
    os.mkfifo(home.settings.source / f"{table}.jsonl")
    (home.settings.source / f"{table}.parquet").symlink_to("/nowhere")
    landed = home.night("2026-01-20")
    check = check_of(landed, f"{table}.files_landed")
    assert check.rows_failed == 3
    assert set(check.sample_keys) == {f"{table}.csv", f"{table}.jsonl", f"{table}.parquet"}
    assert check.message.count("no readable file") == 3
    assert bool(landed.blocking) == (table == "plans")


def test_a_header_only_is_an_empty_table(home: Home) -> None:
    put(home, "documents.csv", "id,title,type,status,size\n")
    landed = home.night("2026-01-20")
    assert audit(landed, "documents") == {"documents.csv": (0, 0, 0, 0, 0)}
    assert check_of(landed, "documents.files_landed").status == "pass"


def test_an_extra_column_is_told(home: Home) -> None:
    put(home, "documents.csv", "id,title,type,status,size,mood\nd1,a,PDF,draft,1KB,good\n")
    landed = home.night("2026-01-20")
    (documents,) = [table for table in landed.tables if table.table == "documents"]
    assert documents.warnings == [
        "documents.csv has columns that the contract does not know (kept, not published): mood"
    ]
    assert "mood" not in {row[0] for row in home.landing("describe source.documents")}


def test_names_that_look_like_sql_are_names(home: Home) -> None:
    for name in ("o'brien.csv", 'a"b.csv', "x; drop table tenants.csv", "new\nline.csv", "[a-z]*.csv", "what?.csv"):
        number = len(name)
        put(
            home,
            f"documents/{name}",
            f"id,title,type,status,size\nd{number},a,PDF,draft,1KB\nbad{number},a,PDF,draft,x\n",
        )
    landed = home.night("2026-01-20")
    conserved(home, landed)
    files = {f"documents/{name}" for name in ("o'brien.csv", 'a"b.csv', "x; drop table tenants.csv", "new\nline.csv",
                                              "[a-z]*.csv", "what?.csv")}  # fmt: skip
    assert set(audit(landed, "documents")) == files
    assert {row[0] for row in quarantine(home, "documents")} == files
    assert len(home.rows("documents", "id")) == 6


def test_a_file_that_grows_during_the_night_waits_for_the_next_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home, "customers.csv", "id,tenant_id,email,name,health_score\nc1,acme_1,a@b.co,Ann,85\n")
    home.night("2026-01-20")
    land, path = landing.land, home.settings.source / "customers.csv"

    def land_and_go_on_writing(*arguments: Any) -> landing.Part:
        part = land(*arguments)
        with path.open("a") as file:
            file.write("c3,acme_1,c@b.co,Cid,1\n")
        return part

    with path.open("a") as file:
        file.write("c2,acme_1,b@b.co,Bob,1\n")
    monkeypatch.setattr(landing, "land", land_and_go_on_writing)
    landed = home.night("2026-01-21")
    check = check_of(landed, "customers.files_landed")
    assert check.status == "fail"
    assert "customers.csv: is still being written" in check.message
    assert home.rows("customers", "id") == [("c1",)]
    monkeypatch.undo()
    landed = home.night("2026-01-22")
    assert check_of(landed, "customers.files_landed").status == "pass"
    assert home.rows("customers", "id") == [("c1",), ("c2",), ("c3",)]


def test_a_writer_that_never_stops_does_not_hold_the_night(home: Home) -> None:
    path = home.settings.source / "customers.csv"
    path.write_text("id,tenant_id,email,name,health_score\n")
    stop = threading.Event()

    def writer() -> None:
        with path.open("a", buffering=1) as file:
            while not stop.wait(0.002):
                file.write("c1,acme_1,a@b.co,Ann,85\n")

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        landed = home.night("2026-01-20")
    finally:
        stop.set()
        thread.join()
    assert "still being written" in check_of(landed, "customers.files_landed").message
    assert home.rows("tenants", "slug") == [("acme_1",), ("global_tech",)]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from small_home import Home
home = Home(Path({folder!r}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    home.night("2026-01-21")
except OSError as error:
    print("OSError:", error)
"""


def test_a_full_disk_ends_the_night_and_leaves_the_one_before(home: Home, tmp_path: Path) -> None:
    put(home, "customers.csv", "id,tenant_id,email,name,health_score\nc1,acme_1,a@b.co,Ann,85\n")
    home.night("2026-01-20")
    rows = "".join(f"d{n},{os.urandom(40).hex()},PDF,draft,1KB\n" for n in range(40_000))
    put(home, "documents.csv", f"id,title,type,status,size\n{rows}")
    before = {path: path.stat().st_mtime_ns for path in home.settings.raw.rglob("*") if path.is_file()}
    code = FULL_DISK.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent.parent, timeout=120
    )
    assert done.stdout.startswith("OSError:"), done.stdout + done.stderr
    assert "documents.csv" in done.stdout
    assert "write" in done.stdout.lower()
    after = {path: path.stat().st_mtime_ns for path in home.settings.raw.rglob("*") if path.is_file()}
    assert after == before
    assert home.rows("customers", "id") == [("c1",)]
    assert home.landing("select night from landing.night")[0][0].isoformat() == "2026-01-20"
    assert home.night("2026-01-21").blocking == []
    assert len(home.rows("documents", "id")) == 40_000


def test_a_part_that_was_cut_short_is_landed_again(home: Home) -> None:
    put(home, "documents.csv", "id,title,type,status,size\nd1,a,PDF,draft,1KB\n")
    home.night("2026-01-20", complete=False)
    (part,) = home.settings.raw.glob("documents/*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    home.night("2026-01-20")
    assert home.rows("documents", "id") == [("d1",)]


def test_a_folder_without_tables_is_wrong_usage(home: Home) -> None:
    for path in home.settings.source.iterdir():
        path.unlink()
    with pytest.raises(nights.UsageError, match="no file of a known table"):
        home.night("2026-01-20")
    assert sources.SUFFIXES == (".csv", ".jsonl", ".parquet")
