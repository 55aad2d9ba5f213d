"""`loompin reproduce`: an invoice derived again from the record equals what is published, and a change is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import priced_book
import pytest
from billing_models import Book, Models, compiled
from conftest import loompin_process

from loompin import reproduce as reproducing
from loompin.failures import UnknownId
from loompin.lock import home_lock


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


@pytest.fixture(scope="module")
def book(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Book:
    """Three nights of the priced book, only to be read."""
    return priced_book.made(tmp_path_factory.mktemp("reproduce"), models)


@contextlib.contextmanager
def planted(book: Book, sql: str) -> Iterator[None]:
    """A published file in which something was changed by hand; as before afterwards."""
    path = book.settings.published
    before = path.read_bytes()
    try:
        with contextlib.closing(duckdb.connect(str(path))) as connection:
            connection.execute(sql)
        yield
    finally:
        path.write_bytes(before)


def number(book: Book, slug: str, day: str) -> str:
    return str(book.ask(f"select id from invoices where tenant_slug = '{slug}' and date = date '{day}'")[0]["id"])


@pytest.mark.parametrize(
    ("slug", "day"), [("acme", "2026-02-01"), ("beta", "2026-04-01"), ("acme", "2026-03-01")]
)  # fmt: skip
def test_an_invoice_comes_out_the_same_from_what_was_known_at_its_cut_off(
    book: Book, models: Models, slug: str, day: str
) -> None:
    """Also one whose date was no night that ran: 2026-04-01 was caught up by the 2nd."""
    invoice = number(book, slug, day)
    found = reproducing.reproduce(book.settings, invoice, priced_book.derive(models))
    assert found.differences == []
    assert found.same
    assert found.derived_hash == found.content_hash == found.kept_hash
    assert found.derived_amount == found.amount
    assert found.lines > 0
    assert found.date == date.fromisoformat(day)


def test_a_night_under_way_is_no_obstacle_and_nothing_is_touched(book: Book, models: Models) -> None:
    invoice = number(book, "acme", "2026-02-01")
    before = priced_book.contents(book.settings.home)
    with home_lock(book.settings, "a night"):
        assert reproducing.reproduce(book.settings, invoice, priced_book.derive(models)).same
    after = priced_book.contents(book.settings.home)
    assert {name: told for name, told in after.items() if name != ".lock"} == {
        name: told for name, told in before.items() if name != ".lock"
    }


def test_a_changed_line_is_named(book: Book, models: Models) -> None:
    invoice = number(book, "acme", "2026-02-01")
    line = book.ask(f"select line_id from invoice_lines where invoice_id = '{invoice}' and item_key = 'cpu'")[0]
    change = f"update invoice_lines set amount = amount + 0.01 where line_id = '{line['line_id']}'"
    with planted(book, change):
        found = reproducing.reproduce(book.settings, invoice, priced_book.derive(models))
    assert not found.same
    assert found.differences == [
        f"line {line['line_id']} (usage cpu, 2026-01-01): amount is published as 49.51, derived as 49.50"
    ]
    told = "\n".join(reproducing.shown(found))
    assert "DIFFERENCE" in told
    assert "49.51" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("delete from invoice_lines where item_key = 'cpu' and invoice_id = '{0}'", "not published"),
        ("insert into invoice_lines select * replace ('x' as line_id) from invoice_lines where amount = 49.5",
         "not derived"),
        ("update invoices set content_hash = 'planted' where id = '{0}'", "the record kept the content hash"),
        ("update invoices set amount = 1 where id = '{0}'", "amount is published as 1.00"),
    ],
)  # fmt: skip
def test_every_other_difference_is_told(book: Book, models: Models, change: str, told: str) -> None:
    invoice = number(book, "acme", "2026-02-01")
    with planted(book, change.format(invoice)):
        found = reproducing.reproduce(book.settings, invoice, priced_book.derive(models))
    assert any(told in difference for difference in found.differences), found.differences


def test_an_invoice_that_does_not_come_out_is_told_with_the_number_that_does(book: Book, models: Models) -> None:
    invoice = number(book, "acme", "2026-02-01")
    with planted(book, f"update invoices set id = 'INV-24-999' where id = '{invoice}'"):
        found = reproducing.reproduce(book.settings, "INV-24-999", priced_book.derive(models))
    assert found.derived_hash is None
    assert f"comes out as {invoice}" in found.differences[0]


def test_an_unknown_invoice(book: Book, models: Models) -> None:
    with pytest.raises(UnknownId, match="there is no invoice INV-99-999"):
        reproducing.reproduce(book.settings, "INV-99-999", priced_book.derive(models))


def test_the_command_derives_with_dbt_and_ends_with_the_right_status(night_home: Path) -> None:
    ended = loompin_process(night_home, "reproduce", "INV-24-002")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "The same: content hash, amount and every line." in ended.stdout
    ended = loompin_process(night_home, "reproduce", "INV-99-999")
    assert ended.returncode == 2
    assert "there is no invoice INV-99-999" in ended.stderr


def test_the_amounts_are_those_of_the_book(book: Book) -> None:
    """What is reproduced is worth it: the book was added up by hand."""
    lines = book.ask(
        "select item_key, invoice_lines.amount from invoice_lines join invoices on invoices.id = invoice_id"
        " where invoices.tenant_slug = 'acme' and date = date '2026-02-01' order by item_key"
    )
    # storage: (1,350.5 - 100 free): 1,000 x 0.01 + 5.00 + 250.5 x 0.008; sms: (120 - 50) / 100, one package.
    assert [(line["item_key"], line["amount"]) for line in lines] == [
        ("cpu", Decimal("49.50")), ("plan:Pro", Decimal("31.00")), ("sms", Decimal("1.50")),
        ("storage", Decimal("17.00")), ("tokens", Decimal("20.00")),
    ]  # fmt: skip
