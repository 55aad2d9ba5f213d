"""Invoices as PDFs: what stands in them adds up to the row, and they are made once, whole, the same everywhere.

Most tests write a small published file by hand; what a real night makes of the seeds is read back at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pypdf
import pytest

from dagster_project.publishing_assets import INVOICE_PDFS
from loompin import invoice_pdfs, night, reading
from loompin.settings import Settings
from tests.conftest import REPO, copy_home, loompin_process

F = date(2026, 2, 1)


@dataclass
class Line:
    """A row of invoice_lines, where a test does not care about the rest of it."""

    amount: str
    line_type: str = "usage"
    item_key: str = "ai.input.1k"
    quantity: str = "1"
    unit_price: str | None = None
    service_from: date = date(2026, 1, 1)
    service_to: date = F
    price_book: str | None = None
    corrects_line_id: str | None = None
    currency: str | None = None
    # (pricing model, from, up to, units, unit price, flat fee)
    tiers: Sequence[tuple[str, str, str | None, str, str, str]] = ()


@dataclass
class Bill:
    """An invoice of a book, with its lines."""

    id: str
    lines: list[Line]
    currency: str = "USD"
    name: str = "Acme Corp"
    amount: str | None = None
    date: date = F
    note: str | None = None
    slug: str = "acme_1"

    @property
    def sum(self) -> Decimal:
        return sum((Decimal(line.amount) for line in self.lines), Decimal(0))


@dataclass
class Home:
    settings: Settings
    bills: list[Bill] = field(default_factory=list)

    def text(self, invoice: str) -> str:
        return text_of(self.settings.invoices / f"{invoice}.pdf")

    def bytes(self) -> dict[str, str]:
        folder = self.settings.invoices
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def publish(folder: Path, bills: Iterable[Bill]) -> Home:
    """A home whose published file holds these invoices, and nothing else that a PDF could be made of."""
    home = Home(Settings(home=folder), list(bills))
    home.settings.prepare()
    home.settings.published.unlink(missing_ok=True)
    with contextlib.closing(duckdb.connect(str(home.settings.published))) as connection:
        run = connection.execute
        run(
            "create table invoices (id varchar, tenant_id varchar, date date, amount decimal(18,2), status varchar,"
            " tenant_slug varchar, currency varchar, due_date date, period varchar, content_hash varchar,"
            " balance decimal(18,2))"
        )
        run(
            "create table invoice_recipients (invoice_id varchar, tenant_id varchar, tenant_slug varchar, name varchar)"
        )
        run(
            "create table credit_notes (id varchar, tenant_id varchar, tenant_slug varchar, invoice_id varchar,"
            " date date, currency varchar, amount decimal(18,2), amount_left decimal(18,2))"
        )
        run(
            "create table invoice_lines (line_id varchar, invoice_id varchar, tenant_id varchar, tenant_slug varchar,"
            " line_type varchar, item_key varchar, service_from date, service_to date, quantity decimal(38,6),"
            " unit_price decimal(18,6), amount_exact decimal(38,12), amount decimal(18,2), currency varchar,"
            " price_book varchar, price_entry_id varchar, corrects_line_id varchar)"
        )
        run(
            "create table invoice_line_tiers (line_id varchar, tier bigint, price_entry_id varchar,"
            " pricing_model varchar, tier_from decimal(38,6), tier_up_to decimal(38,6), units decimal(38,6),"
            " unit_price decimal(18,6), flat_fee decimal(18,6), amount_exact decimal(38,12), currency varchar)"
        )
        for bill in home.bills:
            run(
                "insert into invoices values (?, 't', ?, ?, 'Pending', ?, ?, ? + 30, ?, 'hash', 0)",
                [bill.id, bill.date, Decimal(bill.amount or bill.sum), bill.slug, bill.currency, bill.date,
                 f"{bill.date:%Y-%m}"],
            )  # fmt: skip
            run("insert into invoice_recipients values (?, 't', ?, ?)", [bill.id, bill.slug, bill.name])
            if bill.note:
                run("insert into credit_notes values (?, 't', ?, ?, ?, ?, 52.62, 52.62)",
                    [bill.note, bill.slug, bill.id, bill.date, bill.currency])  # fmt: skip
            rows = [
                (f"{bill.id}/{number}", bill.id, "t", bill.slug, line.line_type, line.item_key, line.service_from,
                 line.service_to, Decimal(line.quantity), line.unit_price and Decimal(line.unit_price),
                 Decimal(line.amount), Decimal(line.amount), line.currency or bill.currency, line.price_book, "pe",
                 line.corrects_line_id)
                for number, line in enumerate(bill.lines)
            ]  # fmt: skip
            for number, line in enumerate(bill.lines):
                for tier, (model, start, end, units, price, fee) in enumerate(line.tiers, start=1):
                    exact = Decimal(units) * Decimal(price) + Decimal(fee)
                    run(
                        f"insert into invoice_line_tiers values ({', '.join('?' * 11)})",
                        [f"{bill.id}/{number}", tier, "pe", model, start, end, units, price, fee, exact, bill.currency],
                    )
            connection.executemany(f"insert into invoice_lines values ({', '.join('?' * 16)})", rows)
    return home


def pages_of(path: Path) -> list[str]:
    return [page.extract_text().replace("\u200b", "") for page in pypdf.PdfReader(path).pages]


def text_of(path: Path) -> str:
    return "\n".join(pages_of(path))


# How money is written, currency by currency, told here once more on purpose.
WRITTEN = {
    "USD": r"-?\$\d{1,3}(?:,\d{3})*\.\d\d",
    "EUR": r"-?\d{1,3}(?:\.\d{3})*,\d\d\u00a0€",
    "JPY": r"-?￥\d{1,3}(?:,\d{3})*",
}


def amount(text: str, currency: str) -> Decimal:
    plain = re.sub(r"[^\d.,-]", "", text)
    swapped = plain.replace(".", "").replace(",", ".") if currency == "EUR" else plain.replace(",", "")
    return Decimal(swapped)


def added(text: str, currency: str) -> tuple[Decimal, Decimal, int]:
    """What the lines of a PDF add up to, its total, and how many lines there are."""
    lines, _, rest = text.partition("\nTotal ")
    found = re.findall(rf"({WRITTEN[currency]})$", lines, re.MULTILINE)
    (total,) = re.findall(rf"^{WRITTEN[currency]}", rest)
    return sum((amount(line, currency) for line in found), Decimal(0)), amount(total, currency), len(found)


def check_sum(text: str, bill: Bill) -> None:
    assert added(text, bill.currency) == (bill.sum, bill.sum, len(bill.lines))


# -- what stands in it -----------------------------------------------------------------------------------------------


def test_an_invoice_shows_whom_what_and_when(tmp_path: Path) -> None:
    lines = [
        Line("499.00", "subscription", "plan:Enterprise", "28", "499", F, date(2026, 3, 1)),
        Line("32.70", "usage", "ai.input.1k", "54500", "0.0006", price_book="Standard USD"),
        Line("-15.81", "proration", "plan:Pro", "-10", "49", date(2026, 1, 22), F, corrects_line_id="INV-24-000/0"),
        Line("20.00", "minimum", "minimum"),
        Line("1.25", "adjustment", "infra.storage.gb", "125.125", corrects_line_id="INV-24-000/1"),
        Line("0.50", "adjustment", "late.driver"),
        Line("0.00", "usage", "free.driver", "3"),
    ]
    before = Bill("INV-24-000", [Line("49.00", "subscription", "plan:Pro"), Line("3.00")], date=date(2026, 1, 1))
    bill = Bill("INV-24-001", lines)
    home = publish(tmp_path, [before, bill])
    invoice_pdfs.make(home.settings)
    text = home.text("INV-24-001")
    check_sum(text, bill)
    flat = " ".join(text.split())
    for told in (
        "Bill to Acme Corp acme_1", "Invoice INV-24-001", "Date 2026-02-01", "Due date 2026-03-03",
        "Terms net 30 days", "Period 2026-02", "Currency USD",
        "Plan Enterprise 2026-02-01 to 2026-02-28 28 days 499 a month $499.00",
        "ai.input.1k price book Standard USD 2026-01-01 to 2026-01-31 54,500 0.0006 $32.70",
        "Plan Pro corrects INV-24-000 2026-01-22 to 2026-01-31 -10 days 49 a month -$15.81",
        "infra.storage.gb corrects INV-24-000 ", "125.125 $1.25", "late.driver not billed before ",
        "free.driver", "3 $0.00", "Page 1 of 1",
    ):  # fmt: skip
        assert told in flat, (told, flat)
    order = ["Subscription", "Usage", "Prorations", "Minimum commitment", "Adjustments of earlier months", "Total"]
    places = [re.search(rf"^{title}\b", text, re.MULTILINE) for title in order]
    assert [place is not None for place in places] == [True] * len(order)
    assert places == sorted(places, key=lambda place: place.start() if place else 0)
    # Both change later, and the PDF does not.
    assert "Pending" not in text
    assert "alance" not in text


def test_a_line_of_tiers_shows_its_arithmetic(tmp_path: Path) -> None:
    tiered = {
        "free.gb": [("per_unit", "0", None, "1150", "0.012", "0")],
        "plain": [("per_unit", "0", None, "10", "0.5", "0")],
        "graduated": [
            ("graduated", "0", "1000", "1000", "0.012", "0"),
            ("graduated", "1000", None, "150", "0.01", "5"),
        ],
        "volume": [("volume", "1000", "5000", "1200.5", "0.333333", "0")],
        "package": [("package", "0", None, "3", "10", "0")],
    }
    quantities = {"free.gb": "1250", "plain": "10"}
    bill = Bill("INV-24-001", [
        Line("1.00", item_key=item, quantity=quantities.get(item, "1200.5"), tiers=tiers)
        for item, tiers in tiered.items()
    ])  # fmt: skip
    home = publish(tmp_path, [bill])
    invoice_pdfs.make(home.settings)
    text = home.text(bill.id)
    check_sum(text, bill)
    flat = " ".join(text.split()).replace("\u00d7", "by")
    for told in (
        "1,150 by 0.012 = 13.8", "0 to 1,000: 1,000 by 0.012 = 12", "over 1,000: 150 by 0.01 + 5 = 6.5",
        "all at 1,000 to 5,000: 1,200.5 by 0.333333 = 400.1662665", "3 packages by 10 = 30",
    ):  # fmt: skip
        assert told in flat, flat
    assert "10 by 0.5" not in flat


def test_an_invoice_brought_to_zero_names_its_credit_note(tmp_path: Path) -> None:
    lines = [
        Line("-52.62", "proration", "plan:Pro", "-10", "49"),
        Line("52.62", "credit", "credit_note", service_from=F, service_to=F),
    ]
    bill = Bill("INV-24-001", lines, note="CN-24-001")
    home = publish(tmp_path, [bill])
    invoice_pdfs.make(home.settings)
    text = home.text(bill.id)
    check_sum(text, bill)
    assert "Total $0.00" in text
    assert "$52.62, is credit note CN-24-001" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("currency", "lines", "written"),
    [
        ("USD", ["1234567.89", "-0.01", "0.10"], ["$1,234,567.89", "-$0.01", "Total $1,234,567.98"]),
        ("EUR", ["1234567.89", "-0.01", "0.10"], ["1.234.567,89\u00a0€", "-0,01\u00a0€", "Total 1.234.567,98\u00a0€"]),
        ("JPY", ["1234567", "-1", "10"], ["￥1,234,567", "-￥1", "Total ￥1,234,576"]),
    ],
)
def test_amounts_are_written_as_their_currency_is(
    currency: str, lines: list[str], written: list[str], tmp_path: Path
) -> None:
    quantity = Line("0.00", quantity="1234.5", unit_price="0.000125")
    bill = Bill("INV-24-001", [*(Line(amount) for amount in lines), quantity], currency)
    home = publish(tmp_path, [bill])
    invoice_pdfs.make(home.settings)
    text = home.text(bill.id)
    check_sum(text, bill)
    for told in written:
        assert told in text
    assert ("1.234,5 0,000125" if currency == "EUR" else "1,234.5 0.000125") in text


def test_no_digit_of_an_amount_is_lost() -> None:
    # Yen have no decimals; if an amount had some all the same, it would be seen.
    assert invoice_pdfs.money(Decimal("10.50"), "JPY") == "10.5 JPY"
    assert invoice_pdfs.money(Decimal("10.00"), "JPY") == "￥10"
    assert invoice_pdfs.number(Decimal("123456789012345678901234567890.123456"), "USD").endswith("567,890.123456")
    assert invoice_pdfs.number(Decimal("100.000000"), "USD") == "100"


def test_many_pages_repeat_the_head_and_add_up(tmp_path: Path) -> None:
    lines = [Line(f"{number}.{number % 100:02}", item_key=f"driver.{number:04}") for number in range(400)]
    bill = Bill("INV-24-001", lines)
    home = publish(tmp_path, [bill])
    invoice_pdfs.make(home.settings)
    pages = pages_of(home.settings.invoices / "INV-24-001.pdf")
    assert len(pages) > 5
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page
    for page in pages[:-1]:
        assert "Description Service Quantity Unit price Amount" in page
    text = "\n".join(pages)
    check_sum(text, bill)
    assert len(set(re.findall(r"driver\.\d{4}", text))) == 400


MARKUP = [
    '#panic("x")', "*bold* _emph_ `raw`", "$x + y$", '#read("/etc/hostname")', "= no heading", "<label> @ref",
    "[a](b) // no comment", "\\u{41} \\\\ #{1 + 1}", "' or 1=1 --", '"quoted" ~ -- ---', "{{ jinja }} ${x}", "</pdf>",
]  # fmt: skip


def test_markup_in_the_data_is_shown_and_not_run(tmp_path: Path) -> None:
    bills = [
        Bill(f"INV-24-{number:03}", [Line("1.00", item_key=told, price_book=told)], name=told, slug=told)
        for number, told in enumerate(MARKUP, start=1)
    ]
    home = publish(tmp_path, bills)
    invoice_pdfs.make(home.settings)
    for bill in bills:
        assert home.text(bill.id).count(bill.name) == 4, bill.name


SCRIPTS = [
    "Åse Müller-Łódź",
    "株式会社 日本語カナ",
    "서울 회사",
    "北京公司",
    "Фирма Ёж",
    "Ελλάς Ψωμί",
    "שלום",
    "Ğüneş İş",
]


def test_names_in_other_scripts_are_shown(tmp_path: Path) -> None:
    bills = [Bill(f"INV-24-{number:03}", [Line("1.00")], name=name) for number, name in enumerate(SCRIPTS)]
    home = publish(tmp_path, bills)
    invoice_pdfs.make(home.settings)
    for bill in bills:
        assert bill.name.replace(" ", "") in home.text(bill.id).replace(" ", ""), bill.name


def test_characters_without_a_font_and_those_that_only_steer_are_told_by_number(tmp_path: Path) -> None:
    names = {"ไทย Ltd": "[U+0E44][U+0E17][U+0E22] Ltd", "Smile 😀": "Smile [U+1F600]",
             "a\u202eb\x07\tc\nd": "a[U+202E]b[U+0007] c d", "\ue000x": "[U+E000]x"}  # fmt: skip
    bills = [Bill(f"INV-24-{number:03}", [Line("1.00")], name=name) for number, name in enumerate(names)]
    home = publish(tmp_path, bills)
    invoice_pdfs.make(home.settings)
    for bill in bills:
        assert f"Bill to\n{names[bill.name]}\n" in home.text(bill.id)


def test_a_long_name_stays_on_the_page(tmp_path: Path) -> None:
    bill = Bill("INV-24-001", [Line("1.00", item_key="k" * 300)], name="N" * 500)
    home = publish(tmp_path, [bill])
    invoice_pdfs.make(home.settings)
    text = home.text(bill.id)
    check_sum(text, bill)
    assert max(len(line) for line in text.splitlines()) < 100
    assert text.count("N") >= 500
    assert text.count("k") >= 300


# -- once, whole, the same -------------------------------------------------------------------------------------------


def small_book(count: int = 12) -> list[Bill]:
    currencies = ["USD", "EUR", "JPY"]
    return [
        Bill(f"INV-24-{number:03}", [Line(str(number)), Line("5.00", "subscription", "plan:Pro")],
             currencies[number % 3], name=f"株式会社 {number}")
        for number in range(1, count + 1)
    ]  # fmt: skip


def test_the_same_bytes_whenever_wherever_and_however_many_at_a_time(tmp_path: Path) -> None:
    one = publish(tmp_path / "one", small_book())
    invoice_pdfs.make(one.settings, threads=1)
    other = publish(tmp_path / "other", reversed(small_book()))
    code = "from loompin import invoice_pdfs, settings; invoice_pdfs.make(settings.Settings(), threads=5)"
    environment = {**os.environ, "LOOMPIN_HOME": str(other.settings.home), "TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8"}
    environment |= {"LC_ALL": "de_DE.UTF-8", "SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "7", "PYTHONPATH": str(REPO)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert one.bytes() == other.bytes()
    assert len(one.bytes()) == 12
    told = pypdf.PdfReader(one.settings.invoices / "INV-24-001.pdf").metadata
    assert told is not None
    assert (told["/CreationDate"], told["/ModDate"]) == ("D:20260201000000Z", "D:20260201000000Z")
    assert told.title == "Invoice INV-24-001"


def test_a_pdf_is_made_once_and_never_again(tmp_path: Path) -> None:
    home = publish(tmp_path, small_book())
    assert invoice_pdfs.make(home.settings).count == 12
    kept = home.settings.invoices / "INV-24-002.pdf"
    kept.write_bytes(b"as the tenant got it")
    removed = home.settings.invoices / "INV-24-003.pdf"
    before = removed.read_bytes()
    removed.unlink()
    assert invoice_pdfs.missing(home.settings) == ["INV-24-003"]
    # Even if what is published were different now.
    publish(tmp_path, [*small_book(), Bill("INV-24-013", [Line("1.00")], name="New")])
    made = invoice_pdfs.make(home.settings)
    assert (made.count, made.there) == (2, 13)
    assert kept.read_bytes() == b"as the tenant got it"
    assert removed.read_bytes() == before
    assert invoice_pdfs.make(home.settings).count == 0


def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    home = publish(tmp_path, small_book(2))
    mask = os.umask(0)
    try:
        invoice_pdfs.make(home.settings)
    finally:
        os.umask(mask)
    assert home.settings.invoices.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in home.settings.invoices.iterdir()} == {0o600}


def test_what_a_killed_run_left_is_removed_and_what_is_missing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = publish(tmp_path, small_book())
    (home.settings.invoices / ".INV-24-004.pdf.tmp").write_bytes(b"%PDF-1.7 half of")
    replace = os.replace

    def dies(source: Path, target: Path) -> None:
        if "INV-24-005" in str(target):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(invoice_pdfs.os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        invoice_pdfs.make(home.settings, threads=1)
    monkeypatch.undo()
    assert "INV-24-005.pdf" not in home.bytes()
    invoice_pdfs.make(home.settings)
    assert set(home.bytes()) == {f"{bill.id}.pdf" for bill in home.bills}
    other = publish(tmp_path / "other", small_book())
    invoice_pdfs.make(other.settings)
    assert home.bytes() == other.bytes()


def test_one_that_cannot_be_made_is_named_and_keeps_no_other_from_its_own(tmp_path: Path) -> None:
    bills = small_book(4)
    wrong = [
        Bill("INV-24-005", [Line("1.00")], amount="2.00"),
        Bill("INV-24-006", [Line("1.00", currency="EUR")]),
        Bill("INV-24-007", [Line("1.00", line_type="gift")]),
        Bill("../INV-24-008", [Line("1.00")]),
    ]
    home = publish(tmp_path / "home", [*bills, *wrong])
    with pytest.raises(invoice_pdfs.PdfsFailed) as failed:
        invoice_pdfs.make(home.settings)
    told = str(failed.value)
    assert "4 of 8" in told
    for bill in wrong:
        assert bill.id in told
    for reason in ("add up to 1.00 USD, the invoice says 2.00", "unknown type: gift", "names no file"):
        assert reason in told
    assert set(home.bytes()) == {f"{bill.id}.pdf" for bill in bills}
    assert list(tmp_path.rglob("*INV-24-008*")) == []
    # The cause mended, the next run makes them.
    publish(tmp_path / "home", [*bills, *small_book(8)[4:]])
    assert invoice_pdfs.make(home.settings).count == 4


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = publish(tmp_path, small_book(3))

    def full(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(invoice_pdfs, "_write", full)
    with pytest.raises(invoice_pdfs.PdfsFailed, match=r"INV-24-001: .*No space left"):
        invoice_pdfs.make(home.settings)
    assert home.bytes() == {}


def test_progress_counts_every_pdf(tmp_path: Path) -> None:
    home = publish(tmp_path, small_book(5))
    seen: list[tuple[str, int, int]] = []
    invoice_pdfs.make(home.settings, lambda *told: seen.append(told))
    assert seen == [(bill.id, number, 5) for number, bill in enumerate(home.bills, start=1)]


def test_nothing_published_is_nothing_to_make(tmp_path: Path) -> None:
    with pytest.raises(reading.NothingPublished):
        invoice_pdfs.make(Settings(home=tmp_path))
    assert list(tmp_path.rglob("*.pdf")) == []


def test_nothing_heavy_is_loaded_when_nothing_is_to_be_made(tmp_path: Path) -> None:
    home = publish(tmp_path, [])
    code = (
        "import sys; from loompin import invoice_pdfs, settings; import dagster_project.publishing_assets;"
        "assert invoice_pdfs.make(settings.Settings()).count == 0;"
        "print(sorted({'typst', 'noto_cjk_sans_otc'} & set(sys.modules)))"
    )
    environment = {**os.environ, "LOOMPIN_HOME": str(home.settings.home), "PYTHONPATH": str(REPO)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


# -- of a real night -------------------------------------------------------------------------------------------------


def ask(home: Path, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with contextlib.closing(duckdb.connect(str(home / "published" / "analytics.duckdb"))) as connection:
        return connection.execute(sql, list(values)).fetchall()


def test_the_pdfs_of_a_night_add_up_to_the_published_rows(night_home: Path, tmp_path: Path) -> None:
    home = copy_home(night_home, tmp_path / "home")
    invoices = ask(
        home,
        "select i.id, i.amount, i.currency, i.due_date, r.name, t.name, (select count(*) from invoice_lines as l"
        " where l.invoice_id = i.id) from invoices as i join invoice_recipients as r on r.invoice_id = i.id"
        " join tenants as t on t.id = i.tenant_id",
    )
    assert len(invoices) >= 5
    assert {path.name for path in (home / "invoices").iterdir()} == {f"{invoice}.pdf" for invoice, *_ in invoices}
    for invoice, total, currency, due, name, tenant, lines in invoices:
        text = text_of(home / "invoices" / f"{invoice}.pdf")
        assert added(text, currency) == (total, total, lines)
        assert name == tenant
        assert f"Bill to\n{name}\n" in text
        assert f"Due date {due}" in text


def test_the_same_night_again_writes_what_is_missing_and_nothing_else(night_home: Path, tmp_path: Path) -> None:
    home = copy_home(night_home, tmp_path / "home")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (home / "invoices").iterdir()}
    first, second, *_ = sorted(before)
    first.unlink()
    second.unlink()
    ended = loompin_process(home, "nightly", "--date", "2026-02-10")
    assert ended.returncode == 0, ended.stderr
    assert "2 PDFs" in ended.stdout
    assert {path: path.read_bytes() for path in (home / "invoices").iterdir()} == {
        path: content for path, (content, _) in before.items()
    }
    assert all(path.stat().st_mtime_ns == before[path][1] for path in before if path not in (first, second))


def test_one_that_cannot_be_made_ends_the_night_with_1_and_leaves_it_published(
    night_home: Path, tmp_path: Path
) -> None:
    from dagster_project.build import build
    from dagster_project.home import instance
    from dagster_project.night_run import Watch

    home = copy_home(night_home, tmp_path / "home")
    (home / "invoices" / "INV-24-002.pdf").unlink()
    ask(home, "update invoices set amount = amount + 0.01 where id = 'INV-24-002'")
    published = (home / "published" / "analytics.duckdb").read_bytes()
    ended = loompin_process(home, "nightly", "--date", "2026-02-10")
    assert ended.returncode == 1
    assert "INV-24-002: its lines add up to" in ended.stderr
    assert "Traceback" not in ended.stderr
    # The same in a run of Dagster's.
    settings, watch = Settings(home=home, source=REPO / "seeds"), Watch()
    with instance(settings) as opened:
        job = build(settings, watch).resolve_implicit_global_asset_job_def()
        run = job.execute_in_process(
            instance=opened, asset_selection=[INVOICE_PDFS], raise_on_error=False, partition_key="2026-02-10"
        )
    assert not run.success
    assert "INV-24-002: its lines add up to" in watch.without_pdf
    assert (home / "published" / "analytics.duckdb").read_bytes() == published
    assert night.plan(settings, date(2026, 2, 10)).mode == "repeat"


def test_pdfs_are_part_of_the_nightly_job(night_home: Path) -> None:
    from dagster_project.automation import NIGHTLY
    from dagster_project.build import build

    job = build(Settings(home=night_home)).resolve_job_def(NIGHTLY)
    assert INVOICE_PDFS in job.asset_layer.asset_graph.materializable_asset_keys
    assert isinstance(INVOICE_PDFS, dg.AssetKey)
