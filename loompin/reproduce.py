"""An invoice derived again from what was known at its cut-off, the end of its date, and held against the published one.

The record alone is read (`raw/`), in a scratch warehouse: nothing that a later night derived takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from loompin import night as nights
from loompin import output, reading, scratch
from loompin.explain_invoice import unknown_invoice
from loompin.failures import UnknownId
from loompin.record import Record
from loompin.settings import Settings
from loompin.sqltext import path

_MODELS = ("invoices", "invoice_lines")
_HEAD = ("tenant_id", "tenant_slug", "date", "due_date", "currency", "amount", "content_hash")
_LINE = (
    "line_type", "item_key", "service_from", "service_to", "quantity", "unit_price", "amount_exact", "amount",
    "currency", "price_book", "price_entry_id", "corrects_line_id",
)  # fmt: skip
_MOST = 20


@dataclass(frozen=True)
class Reproduced:
    """An invoice as published and as derived again from what was known at the end of its date.

    `kept_hash` is what the record kept when the invoice became final, if it was kept then; `derived_hash` and
    `derived_amount` are None where no invoice of this number comes out. `differences` is empty where all is the same.
    """

    invoice_id: str
    tenant_slug: str
    date: date
    currency: str
    amount: Decimal
    lines: int
    content_hash: str
    kept_hash: str | None
    derived_hash: str | None
    derived_amount: Decimal | None
    differences: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def plain(self) -> dict[str, Any]:
        """As a dictionary, for JSON."""
        return {**asdict(self), "same": self.same}


def reproduce(
    settings: Settings, number: str, derive: scratch.Derive, tell: Callable[[str], None] | None = None
) -> Reproduced:
    """Derive one invoice again.

    Args:
        settings: the home.
        number: the invoice's number, such as INV-24-002.
        derive: what builds the models.
        tell: called with what is done now.

    Raises:
        UnknownId: no such invoice is published.
        night.NightError: the models cannot be built.
    """
    say = tell or (lambda _what: None)
    head, lines = _published(settings, number)
    record = Record(settings.raw)
    with scratch.opened(settings, "reproduce") as made:
        say(f"landing what was known on {head['date']}")
        scratch.land(made, nights.recorded(record, head["date"]))
        derive(made, _MODELS)
        same_place = scratch.rows(
            made,
            "select * from invoices where id = ? or (tenant_id = ? and date = ? and currency = ?)",
            number, head["tenant_id"], head["date"], head["currency"],
        )  # fmt: skip
        derived = next((row for row in same_place if row["id"] == number), None)
        derived_lines = scratch.rows(made, "select * from invoice_lines where invoice_id = ?", number)
    kept = _kept_hash(record, number)
    differences = []
    if derived is None:
        moved = next((row["id"] for row in same_place), None)
        told = f"; the invoice of {head['tenant_slug']} on that date comes out as {moved}" if moved else ""
        differences.append(f"no invoice {number} comes out of what was known on {head['date']}{told}")
    else:
        differences += _fields(f"invoice {number}", _HEAD, head, derived)
        differences += _lines(lines, derived_lines)
    if kept is not None and kept != head["content_hash"]:
        differences.append(f"the record kept the content hash {kept} when {number} became final")
    return Reproduced(
        invoice_id=number, tenant_slug=head["tenant_slug"], date=head["date"], currency=head["currency"],
        amount=head["amount"], lines=len(lines), content_hash=head["content_hash"], kept_hash=kept,
        derived_hash=derived["content_hash"] if derived else None,
        derived_amount=derived["amount"] if derived else None, differences=differences,
    )  # fmt: skip


def shown(found: Reproduced) -> Iterator[str]:
    """What came out, in words."""
    yield (
        f"Invoice {found.invoice_id} of {found.date} to {found.tenant_slug}:"
        f" {output.shown(found.amount)} {found.currency}, {output.count(found.lines, 'line')}."
    )
    yield f"  published   {found.content_hash}"
    yield f"  record kept {found.kept_hash or '- (it became final before such hashes were kept)'}"
    yield f"  derived     {found.derived_hash or '-'}   from what was known at the end of {found.date}"
    if found.same:
        yield "The same: content hash, amount and every line."
        return
    yield f"DIFFERENCE: {output.count(len(found.differences), 'difference')}."
    for difference in found.differences[:_MOST]:
        yield f"  {difference}"
    if len(found.differences) > _MOST:
        yield f"  and {len(found.differences) - _MOST:,} more; --json lists all"


def _published(settings: Settings, number: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with reading.published(settings) as connection:
        heads = reading.rows(connection, "select * from invoices where id = ?", number)
        if not heads:
            raise UnknownId(unknown_invoice(number))
        return heads[0], reading.rows(connection, "select * from invoice_lines where invoice_id = ?", number)


def _kept_hash(record: Record, number: str) -> str | None:
    files = [file for done in record.nights() if (file := record.finals_path(done.night)).exists()]
    if not files:
        return None
    from loompin import landing

    listed = ", ".join(path(file) for file in files)
    with landing.connect(memory_limit=reading.MEMORY_LIMIT) as connection:
        rows = reading.rows(connection, f"select content_hash from read_parquet([{listed}]) where id = ?", number)
    return rows[0]["content_hash"] if rows else None


def _fields(what: str, columns: tuple[str, ...], before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{what}: {column} is published as {output.shown(before[column])}, derived as {output.shown(now[column])}"
        for column in columns
        if before[column] != now[column]
    ]


def _lines(published: list[dict[str, Any]], derived: list[dict[str, Any]]) -> list[str]:
    """What differs line by line; a line is the same one by its id."""
    before = {line["line_id"]: line for line in published}
    now = {line["line_id"]: line for line in derived}
    told = []
    for line_id in sorted(before.keys() | now.keys()):
        line = before.get(line_id) or now[line_id]
        what = f"line {line_id} ({line['line_type']} {line['item_key']}, {line['service_from']})"
        if line_id not in now:
            told.append(f"{what}: published with {output.shown(line['amount'])}, not derived")
        elif line_id not in before:
            told.append(f"{what}: derived with {output.shown(line['amount'])}, not published")
        else:
            told += _fields(what, _LINE, before[line_id], now[line_id])
    return told
