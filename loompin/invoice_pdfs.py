"""One PDF an invoice, made once of the published file alone, with the same bytes whenever it is made again.

A PDF shows what never changes of an invoice: whom it is for, its lines and their sum, when it is due. What is paid
changes, so it does not stand there. Text of the data reaches the template as JSON, and is shown, never run. How it
looks is in `invoice.typ`; which invoices are final is billing's business.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loompin import reading
from loompin.record import sync_folder
from loompin.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import typst

TEMPLATE = Path(__file__).with_name("invoice.typ")
SELLER = "Loompin"

_AT_ONCE = 500
"""Invoices whose lines are in memory at a time."""

_STANDARD: Literal["a-2a"] = "a-2a"
"""PDF/A-2a: to be kept for years, readable aloud, and refused where a font lacks a character."""

_GROUPS = {
    "subscription": "Subscription",
    "usage": "Usage",
    "proration": "Prorations",
    "minimum": "Minimum commitment",
    "adjustment": "Adjustments of earlier months",
    "credit": "Credit",
}
# A currency is written as where it comes from; any other as in English.
_LOCALES = {"EUR": "de_DE", "GBP": "en_GB", "JPY": "ja_JP"}
# DECIMAL(38, ...) has more digits than Python's decimals keep by themselves.
_EXACT = Context(prec=60)
_LONGEST_WORD = 24
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAMED_IN_MESSAGE = 5

Progress = Callable[[str, int, int], None]
"""Called with the invoice that was written, how many are, and how many there are to write."""


class PdfsFailed(Exception):
    """Invoices whose PDF could not be made; the message names them and why. The others are there."""


@dataclass(frozen=True)
class Made:
    """What one run made: how many PDFs, their bytes, and the seconds it took; `there` counts all of the home."""

    count: int
    there: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Invoice:
    """An invoice with everything that its PDF shows: rows of the published file by column name."""

    row: dict[str, Any]
    lines: list[dict[str, Any]]

    @property
    def id(self) -> str:
        """The invoice's number."""
        return str(self.row["id"])


def path_of(settings: Settings, invoice: str) -> Path:
    """Where the PDF of an invoice stands.

    Raises:
        ValueError: its number is no file name; prefixes of numbers are configured.
    """
    if not _FILE_NAME.fullmatch(invoice):
        raise ValueError(f"its number {invoice!r} has more than letters, digits, '.', '_' and '-', so it names no file")
    return settings.invoices / f"{invoice}.pdf"


def missing(settings: Settings) -> list[str]:
    """The published invoices without a PDF, oldest first.

    Raises:
        loompin.reading.NothingPublished: no night has been published in this home.
    """
    with reading.published(settings) as connection:
        return _missing(settings, connection)


def make(settings: Settings, progress: Progress | None = None, threads: int | None = None) -> Made:
    """Write the PDF of every published invoice that has none. The home's lock must be held.

    Killed at any moment, it leaves whole PDFs and no others; the next call makes the rest. An invoice whose PDF cannot
    be made does not keep the others from theirs.

    Args:
        progress: told of each PDF.
        threads: how many to make at a time; as many as there are cores if not given.

    Raises:
        PdfsFailed: some could not be made.
        loompin.reading.NothingPublished: no night has been published in this home.
    """
    started = time.perf_counter()
    settings.prepare()
    folder = settings.invoices
    for left in folder.glob(".*.tmp"):
        left.unlink()
    failed: dict[str, str] = {}
    count = size = 0
    with reading.published(settings) as connection:
        wanted = _missing(settings, connection)
        if wanted:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            compilers = _Compilers()
            with ThreadPoolExecutor(threads or cores, "invoice-pdf") as pool:

                def write(invoice: Invoice) -> tuple[str, int | Exception]:
                    try:
                        return invoice.id, _write(path_of(settings, invoice.id), compilers.pdf(invoice))
                    except (ValueError, OSError) as error:
                        return invoice.id, error

                for start in range(0, len(wanted), _AT_ONCE):
                    for invoice, done in pool.map(write, read(connection, wanted[start : start + _AT_ONCE])):
                        if isinstance(done, int):
                            count, size = count + 1, size + done
                        else:
                            failed[invoice] = str(done)
                        if progress is not None:
                            progress(invoice, count + len(failed), len(wanted))
                    sync_folder(folder)
    if failed:
        raise PdfsFailed(_in_words(failed, len(wanted)))
    there = sum(1 for path in _files(settings) if path.name.endswith(".pdf"))
    return Made(count, there, size, time.perf_counter() - started)


def document(invoice: Invoice) -> dict[str, Any]:
    """What the template shows of an invoice: text only, every number in the form of its currency.

    Raises:
        ValueError: the lines do not add up to the invoice, or are in another currency.
    """
    row, currency = invoice.row, str(invoice.row["currency"])
    added = sum((line["amount"] for line in invoice.lines), Decimal(0))
    if added != row["amount"] or any(line["currency"] != currency for line in invoice.lines):
        raise ValueError(f"its lines add up to {added} {currency}, the invoice says {row['amount']}")
    unknown = {line["line_type"] for line in invoice.lines} - _GROUPS.keys()
    if unknown:
        raise ValueError(f"it has lines of an unknown type: {', '.join(sorted(unknown))}")
    days = (row["due_date"] - row["date"]).days
    note = row["credit_note"] and (
        f"What is left to your credit, {money(row['credited'], currency)}, is credit note {row['credit_note']}. Later"
        " invoices use it."
    )
    return {
        "seller": SELLER,
        "id": invoice.id,
        "day": [row["date"].year, row["date"].month, row["date"].day],
        "name": shown(row["name"]),
        "tenant": [shown(row["tenant_slug"]), shown(row["tenant_id"])],
        "facts": [
            ["Invoice", invoice.id],
            ["Date", str(row["date"])],
            ["Due date", str(row["due_date"])],
            ["Terms", f"net {days} days"],
            ["Period", row["period"]],
            ["Currency", currency],
        ],
        "groups": [
            {"title": title, "lines": lines}
            for kind, title in _GROUPS.items()
            if (lines := [_line(line) for line in invoice.lines if line["line_type"] == kind])
        ],
        "total": money(row["amount"], currency),
        "note": note or "",
    }


@functools.lru_cache(maxsize=1 << 16)
def money(amount: Decimal, currency: str) -> str:
    """An amount with its currency, as it is written where the currency comes from, with all its decimals."""
    from babel.numbers import format_currency, get_currency_precision

    with localcontext(_EXACT):
        if amount == round(amount, get_currency_precision(currency)):
            return str(format_currency(amount, currency, locale=_locale(currency)))
    return f"{number(amount, currency)} {currency}"


@functools.lru_cache(maxsize=1 << 16)
def number(value: Decimal, currency: str) -> str:
    """A quantity or a unit price with all its decimals, none cut or added, in the form of the currency's home."""
    from babel.numbers import format_decimal

    with localcontext(_EXACT):
        return str(format_decimal(value.normalize(), locale=_locale(currency), decimal_quantization=False))


def shown(text: str | None) -> str:
    """Text of the data as it can be shown: on one line, without characters that only steer how others are shown.

    A word that no line holds may be broken anywhere.
    """
    plain = " ".join((text or "").split())
    visible = "".join(char if _is_visible(char) else f"[U+{ord(char):04X}]" for char in plain)
    return re.sub(rf"(\S{{{_LONGEST_WORD}}})(?=\S)", "\\1\u200b", visible)


# -- inside ----------------------------------------------------------------------------------------------------------


class _Compilers:
    """A compiler a thread: each has read the template once; the fonts are read once for all."""

    def __init__(self) -> None:
        import noto_cjk_sans_otc
        import typst

        self._typst = typst
        fonts = Path(noto_cjk_sans_otc.__file__).parent
        # Never the machine's own fonts: the same bytes everywhere.
        self._fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(fonts)])
        self._of_thread = threading.local()

    def pdf(self, invoice: Invoice) -> bytes:
        """The PDF of an invoice.

        Raises:
            ValueError: there can be none.
        """
        shown_in_full = document(invoice)
        try:
            return self._compile(invoice, shown_in_full)
        except self._typst.TypstError:
            # A character that no font has, in most cases; if it is anything else it is told now.
            try:
                return self._compile(invoice, _spelled_out(shown_in_full))
            except self._typst.TypstError as error:
                raise ValueError(f"typst refuses it: {error.message}") from error

    def _compile(self, invoice: Invoice, content: dict[str, Any]) -> bytes:
        compiler: typst.Compiler | None = getattr(self._of_thread, "compiler", None)
        if compiler is None:
            compiler = self._typst.Compiler(str(TEMPLATE), root=str(TEMPLATE.parent), font_paths=self._fonts)
            self._of_thread.compiler = compiler
        made = compiler.compile(
            format="pdf",
            sys_inputs={"invoice": json.dumps(content)},
            pdf_standards=[_STANDARD],
            timestamp=datetime.combine(invoice.row["date"], datetime.min.time(), UTC),
        )
        assert isinstance(made, bytes)
        return made


def _files(settings: Settings) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(settings.invoices) as found:
        yield from found


def _missing(settings: Settings, connection: duckdb.DuckDBPyConnection) -> list[str]:
    there = {path.name for path in _files(settings)}
    ids = connection.execute("select id from invoices order by date, length(id), id").fetchall()
    return [invoice for (invoice,) in ids if f"{invoice}.pdf" not in there]


def read(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[Invoice]:
    """Invoices with their lines, in the order of their ids as given."""
    found = reading.rows(
        connection,
        "select i.id, i.date, i.due_date, i.period, i.currency, i.amount, i.tenant_id, i.tenant_slug, r.name,"
        " n.id as credit_note, n.amount as credited"
        " from invoices as i left join invoice_recipients as r on r.invoice_id = i.id"
        " left join credit_notes as n on n.invoice_id = i.id where i.id in (select unnest(?))",
        list(ids),
    )
    lines: dict[str, list[dict[str, Any]]] = {invoice: [] for invoice in ids}
    for line in reading.rows(
        connection,
        "select l.*, first.invoice_id as corrected_invoice"
        " from invoice_lines as l left join invoice_lines as first on first.line_id = l.corrects_line_id"
        " where l.invoice_id in (select unnest(?))"
        " order by l.item_key, l.service_from, l.service_to, l.price_book, l.price_entry_id, l.line_id",
        list(ids),
    ):
        lines[line["invoice_id"]].append({**line, "tiers": []})
    tiered = {line["line_id"]: line["tiers"] for of_invoice in lines.values() for line in of_invoice}
    for tier in reading.rows(
        connection,
        "select t.* from invoice_line_tiers as t join invoice_lines as l on l.line_id = t.line_id"
        " where l.invoice_id in (select unnest(?)) order by t.line_id, t.tier",
        list(ids),
    ):
        tiered[tier["line_id"]].append(tier)
    rows = {row["id"]: row for row in found}
    return [Invoice(rows[invoice], lines[invoice]) for invoice in ids]


def _line(line: dict[str, Any]) -> dict[str, Any]:
    currency, kind = line["currency"], line["line_type"]
    quantity = number(line["quantity"], currency) if line["quantity"] is not None else ""
    price = number(line["unit_price"], currency) if line["unit_price"] is not None else ""
    # The quantity of a plan fee is its days, and its price that of the whole month.
    fee = kind in ("subscription", "proration")
    return {
        "what": shown(_item(line)),
        "notes": [shown(note) for note in _notes(line)],
        "period": _days(line["service_from"], line["service_to"]),
        "quantity": f"{quantity} days" if fee else quantity,
        "unit_price": (price + (" a month" if fee else "")) if price else "",
        "amount": money(line["amount"], currency),
    }


def _item(line: dict[str, Any]) -> str:
    item = str(line["item_key"])
    if item.startswith("plan:"):
        return f"Plan {item.removeprefix('plan:')}"
    return {"minimum": "Minimum commitment", "credit_note": "Credit note"}.get(item, item)


def _notes(line: dict[str, Any]) -> Iterator[str]:
    if line["line_type"] == "minimum":
        yield "what the usage of the month falls short of the commitment"
    if line["corrects_line_id"] is not None:
        yield f"corrects {line['corrected_invoice'] or 'a line of 0 that no invoice held'}"
    elif line["line_type"] == "adjustment":
        yield "not billed before"
    if line["price_book"] is not None:
        yield f"price book {line['price_book']}"
    tiers = line["tiers"]
    if any(tier["pricing_model"] != "per_unit" or tier["units"] != line["quantity"] for tier in tiers):
        for tier in tiers:
            yield _arithmetic(tier)


def _arithmetic(tier: dict[str, Any]) -> str:
    """How a tier's part of a line comes about, exact: the line alone is rounded."""
    model, currency = tier["pricing_model"], tier["currency"]
    bounds, words = "", "packages " if model == "package" else ""
    if model in ("graduated", "volume"):
        start = number(tier["tier_from"], currency)
        end = tier["tier_up_to"]
        held = f"over {start}" if end is None else f"{start} to {number(end, currency)}"
        bounds = f"{held}: " if model == "graduated" else f"all at {held}: "
    fee = f" + {number(tier['flat_fee'], currency)}" if tier["flat_fee"] else ""
    price = f"{number(tier['units'], currency)} {words}\u00d7 {number(tier['unit_price'], currency)}{fee}"
    return f"{bounds}{price} = {number(tier['amount_exact'], currency)}"


def _days(first: date, end: date) -> str:
    """The days of a service, the last one included."""
    last = end - timedelta(days=1)
    return str(first) if last <= first else f"{first} to {last}"


def _locale(currency: str) -> str:
    return _LOCALES.get(currency, "en_US")


def _is_visible(char: str) -> bool:
    # Controls, bidirectional overrides, surrogates, private and unassigned characters.
    return unicodedata.category(char)[0] != "C"


def _spelled_out(content: Any) -> Any:
    """The same with every character by its number that is not of a European alphabet, since no font has one of them."""
    if isinstance(content, str):
        return "".join(char if _is_european(char) else f"[U+{ord(char):04X}]" for char in content)
    if isinstance(content, list):
        return [_spelled_out(part) for part in content]
    if isinstance(content, dict):
        return {key: _spelled_out(part) for key, part in content.items()}
    return content


def _is_european(char: str) -> bool:
    script = unicodedata.name(char, "").partition(" ")[0]
    return char < "\u0250" or char in "\u200b\u2212\uffe5\u20ac" or script in ("GREEK", "CYRILLIC")


def _write(path: Path, content: bytes) -> int:
    """Write a file for its owner only, so that it is there whole or not at all; its bytes."""
    working = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(working, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with contextlib.ExitStack() as undo:
        undo.callback(working.unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(working, path)
    return len(content)


def _in_words(failed: dict[str, str], wanted: int) -> str:
    named = "; ".join(f"{invoice}: {reason}" for invoice, reason in list(failed.items())[:_NAMED_IN_MESSAGE])
    more = f"; and {len(failed) - _NAMED_IN_MESSAGE:,} more" if len(failed) > _NAMED_IN_MESSAGE else ""
    return f"{len(failed):,} of {wanted:,} new invoices have no PDF; the next run makes what is missing. {named}{more}"
