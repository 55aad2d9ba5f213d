"""What `nightly` and `status` tell the operator of billing: what became final, drafts, what is not billed and why."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import priced_book
import pytest
from billing_models import Book, Models, compiled
from rich.console import Console
from typer.testing import CliRunner

from loompin import billing_status, cli
from loompin.settings import Settings


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


@pytest.fixture(scope="module")
def book(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Book:
    """The priced book until 2026-03-10, with usage that has no price and usage that no subscription covers."""
    made = priced_book.PricedBook(tmp_path_factory.mktemp("status"), models)
    priced_book.write(made)
    made.write("usage_events/more.csv", [
        priced_book.event(priced_book.GAMMA, "cpu", "1000", "2026-02-05"),
        priced_book.event(priced_book.ACME, "cpu", "7", "2025-12-31", "2026-02-20"),
        priced_book.event(priced_book.ACME, "tokens", "100", "2026-03-05"),
    ])  # fmt: skip
    for night in (date(2026, 2, 1), date(2026, 3, 10)):
        assert made.night(night) == []
    return made


def text(parts: Iterable[billing_status.Part]) -> str:
    console = Console(file=io.StringIO(), width=300)
    for part in parts:
        console.print(part)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return " ".join(written.replace("│", " ").split())


def test_the_invoices_that_a_night_made_final_are_told_with_their_pdfs_and_what_to_do(book: Book) -> None:
    found = billing_status.read(book.settings, date(2026, 2, 1))
    assert found is not None
    assert {(row["date"], row["currency"], row["invoices"]) for row in found.final} == {
        (date(2026, 3, 1), "EUR", 1), (date(2026, 3, 1), "USD", 2),
    }  # fmt: skip
    told = text(billing_status.night(book.settings, date(2026, 2, 1)))
    last = book.ask("select max(id) as id from invoices")[0]["id"]
    assert f"{book.settings.invoices}/<number>.pdf" in told
    assert f"loompin explain invoice {last}" in told
    assert "unpriced 1 1 2026-02 give the item a price" in told
    assert "No invoice became final" in text(billing_status.night(book.settings, date(2026, 3, 10)))
    everything = billing_status.read(book.settings)
    assert everything is not None
    assert sum(row["invoices"] for row in everything.final) == len(book.ask("select id from invoices"))


def test_status_tells_drafts_the_next_close_what_is_owed_and_not_billed(book: Book) -> None:
    found = billing_status.read(book.settings)
    assert found is not None
    assert found.closes_on == date(2026, 4, 1)
    drafts = {row["currency"]: row for row in found.drafts}
    assert drafts["USD"]["amount"] == sum(
        row["amount"] for row in book.ask("select amount from invoice_drafts where currency = 'USD'")
    )
    assert drafts["USD"]["amount"] > 0
    assert {row["rule"]: (row["events"], row["cost"]) for row in found.unbilled} == {
        "no_subscription": (1, Decimal("0.007")), "unpriced": (1, Decimal(1)),
    }  # fmt: skip
    owed = book.ask("select currency, sum(balance) as owed from invoices where balance > 0 group by 1")
    for row in owed:
        assert sum(part["balance"] for part in found.owed if part["currency"] == row["currency"]) == row["owed"]
    assert {row["outcome"] for row in found.certificate} >= {"received", "billed", "not_yet_billed", "quarantined"}
    told = text(billing_status.status(book.settings))
    assert "the next invoices are dated 2026-04-01" in told
    assert "loompin nightly --date 2026-04-01" in told
    assert "2026-02 quarantined 1 1" in told


def test_the_next_close_of_a_first_of_a_month_is_the_one_after_it(book: Book, tmp_path: Path) -> None:
    """Invoices of the night itself are final with it."""
    for night, closes_on in (("2026-03-01", date(2026, 4, 1)), ("2026-12-31", date(2027, 1, 1))):
        copy = Settings(home=tmp_path / night)
        copy.published.parent.mkdir(parents=True)
        copy.published.write_bytes(book.settings.published.read_bytes())
        with duckdb.connect(str(copy.published)) as connection:
            connection.execute(f"update data_as_of set night = date '{night}'")
        found = billing_status.read(copy)
        assert found is not None
        assert found.closes_on == closes_on


def test_a_file_without_billing_tells_nothing(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.published.parent.mkdir(parents=True)
    with duckdb.connect(str(settings.published)) as connection:
        connection.execute("create table invoices (id varchar)")
    assert billing_status.read(settings) is None
    assert text(billing_status.status(settings)) == text(billing_status.night(settings, None)) == ""


def test_a_night_ends_with_what_became_final_and_what_to_do_next(night_home: Path) -> None:
    """As the command prints it after a night on the seeds."""
    told = (night_home.parent / "output.txt").read_text()
    assert "Invoices that became final" in told
    assert "INV-24-002 │ INV-24-005" in told
    assert "loompin reproduce INV-24-005" in told


def test_the_commands_print_billing_and_json(night_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMPIN_HOME", str(night_home))
    ended = CliRunner().invoke(cli.app, ["status"], env={"COLUMNS": "200"})
    assert ended.exit_code == 0, ended.stdout + ended.stderr
    assert "Drafts of 2026-03-01, as known on 2026-02-10" in ended.stdout
    assert "Certificate: what became of the usage of each month" in ended.stdout
    ended = CliRunner().invoke(cli.app, ["explain", "invoice", "INV-24-002", "--json", "--events"])
    assert ended.exit_code == 0, ended.stdout + ended.stderr
    plain = json.loads(ended.stdout, parse_float=Decimal)
    assert plain["lines_amount"] == Decimal("545.20")
    assert plain["lines"][0]["arithmetic"] == "54,500 x 0.0006 = 32.7 -> 32.70"
    assert len(plain["lines"][0]["events"]["all"]) == plain["lines"][0]["events"]["count"] == 124
    assert plain["changes"]["effects"]["quantity"] == plain["changes"]["difference"] == Decimal("46.20")
