"""`loompin reprice`: proposed prices rate the whole history, beside what was billed, and touch nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import priced_book
import pytest
from billing_models import Book, Models, compiled
from conftest import loompin_process
from hypothesis import given
from hypothesis import strategies as st
from priced_book import BOOKS, ENTRIES

from loompin import money, reprice
from loompin.lock import home_lock
from loompin.night import UsageError
from loompin.output import write_object

JANUARY, FEBRUARY, MARCH, APRIL = (date(2026, month, 1) for month in (1, 2, 3, 4))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


@pytest.fixture(scope="module")
def book(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Book:
    """Three nights of the priced book, only to be read."""
    return priced_book.made(tmp_path_factory.mktemp("reprice"), models)


def written(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def changed(**changes: Mapping[str, str]) -> list[dict[str, str]]:
    """The present entries with some cells changed, by entry id."""
    return [{**entry, **changes.get(entry["id"], {})} for entry in ENTRIES]


def repriced(
    book: Book, models: Models, files: Mapping[str, Path], since: date = JANUARY, until: date = MARCH
) -> reprice.Repriced:
    return reprice.reprice(book.settings, files, since, until, priced_book.derive(models))


def differences(found: reprice.Repriced) -> dict[tuple[str, str, str], Decimal]:
    return {
        (change.tenant_slug, change.item_key, f"{change.month:%Y-%m}"): change.difference
        for change in found.changes
        if change.difference
    }


# -- the comparison --------------------------------------------------------------------------------------------------


def test_the_present_prices_change_nothing(book: Book, models: Models, tmp_path: Path) -> None:
    """Every month, adjustments, minimums and plan fees included; the lock of a running night is no obstacle."""
    files = {
        "price_entries": written(tmp_path / "entries.csv", ENTRIES), "price_books": written(tmp_path / "b.csv", BOOKS),
    }  # fmt: skip
    before = priced_book.contents(book.settings.home)
    with home_lock(book.settings, "a night"):
        found = repriced(book, models, files, JANUARY, APRIL)
    after = priced_book.contents(book.settings.home)
    before.pop(".lock", None)
    after.pop(".lock", None)
    assert after == before
    assert differences(found) == {}
    assert {change.month for change in found.changes} == {JANUARY, FEBRUARY, MARCH, APRIL}
    assert {change.item_key for change in found.changes} >= {"tokens", "storage", "cpu", "sms", "minimum", "plan:Pro"}
    billed = book.ask(
        "select currency, sum(amount) as billed from invoice_lines where line_type <> 'credit' group by 1"
    )
    assert {row["currency"]: row["billed"] for row in found.by("currency")} == {
        row["currency"]: row["billed"] for row in billed
    }
    assert any("2026-04: its usage is billed" in warning for warning in found.warnings)


def test_a_changed_price_counts_in_every_month_as_if_always_known(book: Book, models: Models, tmp_path: Path) -> None:
    """tokens 0.010 -> 0.015 until February: acme 2,040 units and gamma, in euro, none; its plan 29 -> 30."""
    entries = changed(tok={"unit_price": "0.015"}, eplan={"unit_price": "30"})
    found = repriced(book, models, {"price_entries": written(tmp_path / "new.csv", entries)})
    assert differences(found) == {
        ("acme", "tokens", "2026-01"): Decimal("10.20"),
        ("gamma", "plan:Pro", "2026-01"): Decimal("1.00"),
        ("gamma", "plan:Pro", "2026-02"): Decimal("1.00"),
        ("gamma", "plan:Pro", "2026-03"): Decimal("1.00"),
    }
    assert {(row["currency"], row["difference"]) for row in found.by("currency")} == {
        ("USD", Decimal("10.20")), ("EUR", Decimal("3.00")),
    }  # fmt: skip
    only = repriced(book, models, {"price_entries": tmp_path / "new.csv"}, FEBRUARY, FEBRUARY)
    assert differences(only) == {("gamma", "plan:Pro", "2026-02"): Decimal("1.00")}


def test_winners_losers_and_what_has_no_price_any_more(book: Book, models: Models, tmp_path: Path) -> None:
    """cpu as per_unit 0.05: beta's minimum takes up what it saves; sms has no price at all under the proposal."""
    entries = [entry for entry in ENTRIES if entry["id"] not in {"cpu1", "cpu2", "sms"}]
    entries.append({**ENTRIES[0], "id": "cpu", "item_key": "cpu", "unit_price": "0.05", "valid_to": ""})
    found = repriced(book, models, {"price_entries": written(tmp_path / "new.jsonl.csv", entries)})
    told = differences(found)
    assert told["acme", "cpu", "2026-01"] == Decimal("24.75") - Decimal("49.50")
    assert told["acme", "sms", "2026-01"] == Decimal("-1.50")
    # Usage of beta falls from 13.00 to 6.50, so the rest to 40.00 grows by as much.
    assert told["beta", "cpu", "2026-01"] == Decimal("-6.50")
    assert told["beta", "minimum", "2026-01"] == Decimal("6.50")
    plain = found.plain()
    assert [row["tenant_slug"] for row in plain["winners"]] == ["acme"]
    assert plain["losers"] == []
    assert {(row["tenant_slug"], row["item_key"], row["month"]) for row in plain["unbilled"]} == {
        ("acme", "sms", "2026-01"), ("acme", "sms", "2026-02"),
    }  # fmt: skip
    parts = "\n".join(str(part) for part in reprice.shown(found) if isinstance(part, str))
    assert "1 tenant in USD would have paid the same" in parts


def test_proposed_books_replace_those_of_the_platform(book: Book, models: Models, tmp_path: Path) -> None:
    """A book of the higher priority is open to nobody without an assignment; one of priority 0 with no price is."""
    books = [*BOOKS, {"name": "Aaa", "currency": "USD", "is_active": "true", "priority": "0"}]
    entries = [*ENTRIES, {**ENTRIES[6], "id": "sms9", "price_book": "Aaa", "unit_price": "2"}]
    files = {
        "price_entries": written(tmp_path / "entries.csv", entries), "price_books": written(tmp_path / "b.csv", books),
    }  # fmt: skip
    found = repriced(book, models, files)
    # Equal priorities: the first by name wins. One package in January, three in February.
    assert differences(found) == {
        ("acme", "sms", "2026-01"): Decimal("0.50"), ("acme", "sms", "2026-02"): Decimal("1.50"),
    }  # fmt: skip


def test_of_versions_in_the_proposed_file_the_latest_counts(book: Book, models: Models, tmp_path: Path) -> None:
    entries = [{**entry, "received_at": "2026-03-01T00:00:00Z"} for entry in ENTRIES]
    entries.append({**entries[0], "unit_price": "0.5", "received_at": "2020-01-01T00:00:00Z"})
    assert differences(repriced(book, models, {"price_entries": written(tmp_path / "new.csv", entries)})) == {}


def test_a_published_table_can_be_proposed(book: Book, models: Models, tmp_path: Path) -> None:
    """As Parquet, with its exact types."""
    target = tmp_path / "entries.parquet"
    columns = ", ".join(f"e.{column}" for column in ENTRIES[0])
    with duckdb.connect() as connection:
        source = f"read_csv('{book.settings.source}/price_entries.csv', all_varchar = true)"
        connection.execute(f"copy (select {columns} from {source} as e) to '{target}' (format parquet)")
    assert differences(repriced(book, models, {"price_entries": target})) == {}


def test_csv_and_json_hold_every_change(book: Book, models: Models, tmp_path: Path) -> None:
    entries = changed(tok={"unit_price": "0.015"})
    found = repriced(book, models, {"price_entries": written(tmp_path / "new.csv", entries)})
    reprice.write_csv(found, tmp_path / "changes.csv")
    with (tmp_path / "changes.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == reprice.CSV_COLUMNS
    assert len(rows) == len(found.changes)
    assert sum(Decimal(row["difference"]) for row in rows) == Decimal("10.20")
    write_object(found.plain(), text := io.StringIO())
    told = json.loads(text.getvalue())
    assert told["from"] == "2026-01"
    assert [row["currency"] for row in told["totals"]] == ["EUR", "USD"]


# -- cliffs ----------------------------------------------------------------------------------------------------------


def test_cliffs_say_who_is_near_a_bound_and_what_happens_there(book: Book, models: Models, tmp_path: Path) -> None:
    """cpu costs 0.10 up to 500 units and 0.08 beyond: 50.00 at 500, 40.00 just past it."""
    found = repriced(book, models, {"price_entries": written(tmp_path / "new.csv", ENTRIES)}, JANUARY, FEBRUARY)
    told = [
        (c.tenant_slug, f"{c.month:%Y-%m}", c.units_to_bound, c.at_bound, c.past_bound, c.kind) for c in found.cliffs
    ]
    assert told == [
        ("acme", "2026-01", Decimal(5), Decimal(50), Decimal(40), "falls"),
        ("acme", "2026-02", Decimal(-10), Decimal(50), Decimal(40), "falls"),
        ("beta", "2026-01", Decimal(370), Decimal(50), Decimal(40), "falls"),
        ("beta", "2026-02", Decimal(380), Decimal(50), Decimal(40), "falls"),
    ]
    assert found.cliffs[0].one_unit_past == Decimal("40.08")


def tier(up_to: str | None, price: str, fee: str = "0", free: str = "0") -> dict[str, Any]:
    return {
        "tier_up_to": Decimal(up_to) if up_to else None, "unit_price": Decimal(price), "flat_fee": Decimal(fee),
        "free_units": Decimal(free), "pricing_model": "volume",
    }  # fmt: skip


def used(units: str) -> dict[str, Any]:
    return {
        "tenant_id": "t", "tenant_slug": "t", "currency": "USD", "item_key": "i", "month": JANUARY, "price_book": "b",
        "units": Decimal(units),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("units", "tiers", "expected"),
    [
        ("10", [tier("10", "1"), tier(None, "0.5")], [("0", "falls", "-5")]),
        ("10.000001", [tier("10", "1"), tier(None, "0.5")], [("-0.000001", "falls", "-5")]),
        ("20", [tier("10", "1"), tier(None, "0.5")], [("-10", "falls", "-5")]),
        ("20.000001", [tier("10", "1"), tier(None, "0.5")], []),
        ("3", [tier("10", "1"), tier(None, "1", "7")], [("7", "jumps", "7")]),
        ("11", [tier("10", "1"), tier(None, "1", "7")], []),
        ("3", [tier("10", "1"), tier(None, "1")], []),
        ("3", [tier("10", "1"), tier("20", "2"), tier(None, "1")], [("7", "jumps", "10")]),
        ("15", [tier("10", "1", free="5"), tier(None, "0.5", free="5")], [("0", "falls", "-5")]),
    ],
)  # fmt: skip
def test_a_cliff_is_where_the_total_falls_or_jumps(
    units: str, tiers: list[dict[str, Any]], expected: list[tuple[str, str, str]]
) -> None:
    found = [(c.units_to_bound, c.kind, c.step) for c in reprice.cliffs_of(used(units), tiers)]
    assert found == [(Decimal(near), kind, Decimal(step)) for near, kind, step in expected]


# -- wrong calls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tok": {"unit_price": "cheap"}}, r"new.csv, line 2, unit_price 'cheap'"),
        ({"tok": {"unit_price": "-1"}}, r'new.csv, line 2, .*bad_price_entry; the row: .*"unit_price":"?-1'),
        ({"sto1": {"price_book": "Nowhere"}}, r"new.csv, line 4, price_book 'Nowhere'.*unknown_price_book"),
        ({"cpu1": {"valid_to": "2024-01-01"}}, r"new.csv, line 6, valid_to.*ends_before_start"),
        ({"cpu2": {"id": "cpu1"}}, r"new.csv, line 7.*cpu1"),
    ],
)  # fmt: skip
def test_a_proposal_that_does_not_fit_is_refused_with_line_column_and_value(
    book: Book, models: Models, tmp_path: Path, change: dict[str, dict[str, str]], told: str
) -> None:
    with pytest.raises(reprice.ProposalRefused, match=told):
        repriced(book, models, {"price_entries": written(tmp_path / "new.csv", changed(**change))})


def test_tiers_that_make_no_set_are_refused(book: Book, models: Models, tmp_path: Path) -> None:
    """Two tiers with the same bound, and none without one."""
    entries = changed(cpu2={"tier_up_to": "500"})
    with pytest.raises(reprice.ProposalRefused, match=r"new.csv, line 6"):
        repriced(book, models, {"price_entries": written(tmp_path / "new.csv", entries)})


@pytest.mark.parametrize(
    ("text", "told"),
    [("id,price_book\n1,Standard\n", "item_key"), ("", "new.csv"), ("\n".join([",".join(ENTRIES[0])]), "holds no row")],
)  # fmt: skip
def test_a_file_that_is_no_table_of_prices_is_refused(
    book: Book, models: Models, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "new.csv").write_text(text)
    with pytest.raises(reprice.ProposalRefused, match=told):
        repriced(book, models, {"price_entries": tmp_path / "new.csv"})


def test_wrong_files_and_months_are_wrong_usage(book: Book, models: Models, tmp_path: Path) -> None:
    file = written(tmp_path / "new.csv", ENTRIES)
    with pytest.raises(UsageError, match=r"there is no file .*nothing.csv"):
        repriced(book, models, {"price_entries": tmp_path / "nothing.csv"})
    with pytest.raises(UsageError, match="told by its ending"):
        repriced(book, models, {"price_entries": written(tmp_path / "new.txt", ENTRIES)})
    with pytest.raises(UsageError, match="is after"):
        repriced(book, models, {"price_entries": file}, MARCH, JANUARY)
    with pytest.raises(UsageError, match="billed so far are the service months 2026-01 to 2026-04"):
        repriced(book, models, {"price_entries": file}, date(2027, 1, 1), date(2027, 1, 1))


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-00", "0000-01", "2026-1", "january", "2026-01-01", ""])
def test_a_month_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no month"):
        reprice.month(text)


def test_a_month() -> None:
    assert reprice.month("2026-02") == FEBRUARY


# -- money -----------------------------------------------------------------------------------------------------------


@given(st.decimals(-(10**20), 10**20, allow_nan=False, places=12), st.sampled_from(["USD", "JPY"]))
def test_python_rounds_as_the_models_do(amount: Decimal, currency: str) -> None:
    with duckdb.connect() as connection:
        places = 0 if currency in money.WITHOUT_DECIMALS else 2
        row = connection.execute(
            f"select cast(round(cast('{amount:f}' as decimal(38, 12)), {places}) as decimal(38, 2))"
        ).fetchone()
    assert row == (money.rounded(amount, currency),)


def test_currencies_without_decimals_are_those_of_the_models() -> None:
    macro = (Path(reprice.__file__).parent.parent / "dbt_project" / "macros" / "money.sql").read_text(encoding="utf-8")
    listed = macro[macro.index("macro zero_decimal_currencies") :].split("])")[0]
    assert {part.strip(" ',\n") for part in listed[listed.index("[") + 1 :].split(",")} - {""} == money.WITHOUT_DECIMALS


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_with_dbt_and_the_prices_of_the_seeds(night_home: Path, tmp_path: Path) -> None:
    """The prices of the seeds never changed, so proposing them changes nothing."""
    from conftest import REPO

    target = tmp_path / "changes.csv"
    entries = REPO / "seeds" / "product" / "price_entries.csv"
    ended = loompin_process(
        night_home, "reprice", "--price-entries", str(entries), "--from", "2025-12", "--to", "2026-01",
        "--csv", str(target), "--json",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert told["totals"]
    assert all(row["difference"] == 0 for row in told["tenants"])
    with target.open(encoding="utf-8", newline="") as stream:
        assert {row["item_key"] for row in csv.DictReader(stream)} == {row["item_key"] for row in told["items"]}


def test_the_command_called_wrongly(night_home: Path, tmp_path: Path) -> None:
    entries = written(tmp_path / "new.csv", ENTRIES)
    for arguments, told in (
        (("--price-entries", "nothing.csv", "--from", "2026-01", "--to", "2026-01"), "there is no file nothing.csv"),
        (("--price-entries", str(entries), "--from", "2026-13", "--to", "2026-01"), "is no month"),
        (("--price-entries", str(entries), "--from", "2026-01", "--to", "2030-01"), "billed so far"),
    ):
        ended = loompin_process(night_home, "reprice", *arguments)
        assert ended.returncode == 2, ended.stdout + ended.stderr
        assert told in ended.stderr
