"""Tables by service month are published as if each night wrote them anew, and of months as before nothing is read."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from loompin.digests import digest_sql
from loompin.published_months import PublishedMonths
from loompin.service_months import next_month

TABLE = "tenant_usage_daily"
COLUMNS = {"usage_date": "DATE", "quantity": "BIGINT"}
MONTHS = [date(2025, 11, 1), date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)]


class Book:
    """A warehouse with a table by month, the months of earlier nights, and nights that publish them."""

    def __init__(self, folder: Path) -> None:
        self.warehouse, self.path, self.working = folder / "warehouse.duckdb", folder / "months.duckdb", folder / "new"
        self.temp = folder
        self.change(
            "create schema kept",
            "create table kept.made_months (relation varchar, service_month date, fingerprint varchar)",
            *(f"insert into kept.made_months values ('{TABLE}', '{month}', 'f')" for month in MONTHS),
            f"create table {TABLE} as select date '2025-11-01' + cast(i as integer) as usage_date, i as quantity"
            " from range(181) as r (i)",
        )

    def change(self, *statements: str) -> None:
        with duckdb.connect(str(self.warehouse)) as connection:
            for statement in statements:
                connection.execute(statement)

    def make_anew(self, month: date, quantity: int, fingerprint: str) -> None:
        """A month as the models make it anew, under another fingerprint."""
        within = f"usage_date >= date '{month}' and usage_date < date '{next_month(month)}'"
        self.change(
            f"create temp table anew as select usage_date, {quantity} from {TABLE} where {within}",
            f"delete from {TABLE} where {within}",
            f"insert into {TABLE} from anew",
            f"update kept.made_months set fingerprint = '{fingerprint}' where service_month = date '{month}'",
        )

    def publish(self, path: Path | None, checks_pass: bool = True) -> tuple[list[tuple[Any, ...]], int, list[str]]:
        """Rows and digest of the table in the file to publish, and the months whose rows are looked at."""
        self.working.unlink(missing_ok=True)
        months = PublishedMonths(path, self.temp)
        there = months.begin(self.working, self.warehouse, ["tenants", TABLE])
        with duckdb.connect(str(self.working)) as connection:
            if not there:
                connection.execute(f"attach '{self.warehouse}' as warehouse (read_only)")
                connection.execute(f"create table {TABLE} as from warehouse.main.{TABLE}")
                connection.execute("detach warehouse")
            tables = connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()
            assert tables == [("main", TABLE)]
            rows = connection.execute(f"from {TABLE} order by all").fetchall()
            read = connection.execute(
                f"select distinct strftime(usage_date, '%Y-%m') from {TABLE} where {months.unread(TABLE)} order by 1"
            ).fetchall()
            digest = months.digest(connection, TABLE, COLUMNS)
            assert connection.execute(f"select {digest_sql(COLUMNS)} from {TABLE}").fetchone() == (digest,)
        if checks_pass:
            months.keep()
        return rows, digest, [month for (month,) in read]

    def like_anew(self) -> list[str]:
        """Publish with what is kept, compare with a file written anew; the months that were looked at."""
        *found, read = self.publish(self.path)
        *wanted, everything = self.publish(None)
        assert found == wanted
        assert everything == sorted({f"{day:%Y-%m}" for day, *_ in wanted[0]})
        return read


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def test_months_as_before_are_not_looked_at_again(book: Book) -> None:
    assert len(book.like_anew()) == 6
    assert book.like_anew() == []
    assert PublishedMonths(book.path, book.temp).unread("invoices") == "true"


@pytest.mark.parametrize("changed", [MONTHS[:1], MONTHS[2:3], MONTHS[-1:], MONTHS[::2], MONTHS[1:], MONTHS])
def test_changed_months_are_taken_from_the_warehouse(book: Book, changed: list[date]) -> None:
    book.like_anew()
    for number, month in enumerate(changed):
        book.make_anew(month, 1000 + number, "g")
    assert book.like_anew() == [f"{month:%Y-%m}" for month in changed]
    assert book.like_anew() == []


def test_a_month_that_is_gone_and_comes_again(book: Book) -> None:
    book.like_anew()
    book.change(f"delete from {TABLE} where usage_date >= '2026-04-01'",
                "delete from kept.made_months where service_month = '2026-04-01'")  # fmt: skip
    assert book.like_anew() == []
    book.change(f"insert into {TABLE} values ('2026-04-30', 7)",
                f"insert into kept.made_months values ('{TABLE}', '2026-04-01', 'g')")  # fmt: skip
    assert book.like_anew() == ["2026-04"]


def test_what_models_say_is_as_before_is_believed(book: Book) -> None:
    """The fingerprint decides; where all is to be compared, nothing that was kept counts."""
    before = book.publish(book.path)
    book.change(f"update {TABLE} set quantity = 100 where usage_date < date '2026-02-01'")
    assert book.publish(book.path)[:2] == before[:2]
    assert book.publish(None)[:2] != before[:2]


def test_months_of_a_file_that_failed_its_checks_are_looked_at_again(book: Book) -> None:
    book.publish(book.path)
    book.make_anew(MONTHS[3], 9, "g")
    assert book.publish(book.path, checks_pass=False)[2] == ["2026-02"]
    assert book.like_anew() == ["2026-02"]
    assert book.like_anew() == []


@pytest.mark.parametrize("content", [b"", b"no database", b"\0" * 20_000])
def test_a_damaged_file_is_made_anew(book: Book, content: bytes) -> None:
    book.publish(book.path)
    book.path.write_bytes(content)
    assert len(book.like_anew()) == 6
    assert book.like_anew() == []


def test_a_file_whose_pages_are_damaged_is_made_anew(book: Book) -> None:
    """It opens, as its first pages are whole, and fails when it is read."""
    book.publish(book.path)
    content = bytearray(book.path.read_bytes())
    content[3 * 4096 :] = b"\xff" * (len(content) - 3 * 4096)
    book.path.write_bytes(bytes(content))
    assert len(book.like_anew()) == 6


def test_a_file_whose_writer_was_killed_is_made_anew(book: Book) -> None:
    book.publish(book.path)
    code = f"""
import duckdb, os
connection = duckdb.connect({str(book.path)!r})
connection.execute("update {TABLE} set quantity = 7")
os._exit(1)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 1
    assert book.path.with_name("months.duckdb.wal").exists()
    assert len(book.like_anew()) == 6
    assert book.like_anew() == []


def test_months_that_other_code_published_are_made_anew(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though their fingerprints say that nothing changed."""
    book.publish(book.path)
    book.change(f"alter table {TABLE} add column cost bigint")
    monkeypatch.setattr("loompin.published_months.code_digest", lambda: "other")
    rows, _, read = book.publish(book.path)
    assert (rows[0], len(read)) == ((date(2025, 11, 1), 0, None), 6)


PERSONS = "survey_sentiment"
SCORED = {"response_id": "VARCHAR", "date": "DATE"}


def scored(folder: Path) -> Book:
    """A warehouse with a table of which digests alone are kept by month; one row has no day, and one none that is."""
    book = Book(folder)
    book.change(
        f"create table {PERSONS} as select 'r' || i as response_id, date '2025-11-01' + cast(i as integer) as \"date\""
        " from range(181) as r (i)",
        f"insert into {PERSONS} values ('none', null), ('endless', 'infinity')",
        *(f"insert into kept.made_months values ('{PERSONS}', '{month}', 'f')" for month in MONTHS),
    )
    return book


def digest_of(book: Book, path: Path | None, checks_pass: bool = True) -> int:
    """The digest of the table as a night finds it that publishes all rows of the warehouse."""
    book.working.unlink(missing_ok=True)
    months = PublishedMonths(path, book.temp)
    assert PERSONS not in months.begin(book.working, book.warehouse, [PERSONS])
    with duckdb.connect(str(book.working)) as connection:
        assert connection.execute("select table_name from duckdb_tables()").fetchall() == []
        connection.execute(f"attach '{book.warehouse}' as warehouse (read_only)")
        connection.execute(f"create table {PERSONS} as from warehouse.main.{PERSONS}")
        # What is masked is looked for in all rows each night.
        assert months.unread(PERSONS) == "true"
        digest = months.digest(connection, PERSONS, SCORED)
    if checks_pass:
        months.keep()
    return digest


def test_digests_of_rows_that_are_written_anew_are_kept_by_month(tmp_path: Path) -> None:
    book = scored(tmp_path)
    before = digest_of(book, None)
    assert digest_of(book, book.path) == digest_of(book, book.path) == before
    with duckdb.connect(str(book.path)) as connection:
        assert connection.execute("select table_name from duckdb_tables() where schema_name = 'main'").fetchall() == []
    # The fingerprint decides for a month, and nothing for rows without one.
    book.change(f"update {PERSONS} set response_id = 'other' where \"date\" = '2025-12-24'")
    assert digest_of(book, book.path) == before != digest_of(book, None)
    for row in ("none", "endless"):
        book.change(f"update {PERSONS} set response_id = 'more' || response_id where response_id = '{row}'")
        found = digest_of(book, book.path)
        assert found != before
        before = found
    book.change("update kept.made_months set fingerprint = 'g' where service_month = '2025-12-01'")
    assert digest_of(book, book.path, checks_pass=False) == digest_of(book, None)
    assert digest_of(book, book.path) == digest_of(book, None)


def test_a_month_that_is_gone_has_no_digest(tmp_path: Path) -> None:
    book = scored(tmp_path)
    digest_of(book, book.path)
    book.change(f"delete from {PERSONS} where \"date\" between '2026-02-01' and '2026-02-28'")
    book.change(f"delete from kept.made_months where relation = '{PERSONS}' and service_month = '2026-02-01'")
    assert digest_of(book, book.path) == digest_of(book, None)
