"""Credit notes, refunds and payments: what is left to pay on each invoice at the end of a night."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from rater.clerk import ZERO, Invoice
from rater.record import Known, Refused


@dataclass
class Note:
    """A credit note with what is left of it."""

    number: str
    invoice: Invoice
    left: Fraction


@dataclass
class Accounts:
    """Numbers, balances and notes at the end of a night."""

    numbers: dict[str, Invoice]
    balances: dict[str, Fraction]
    notes: dict[str, Note]
    refused: list[Refused] = field(default_factory=list)

    def status(self, number: str, night: date) -> str:
        """Paid, Overdue or Pending on a night."""
        if self.balances[number] <= 0:
            return "Paid"
        return "Overdue" if self.numbers[number].due < night else "Pending"


def numbered(prefix: str, count: int) -> str:
    """The name of the n-th invoice or note."""
    return f"{prefix}-24-{count:03d}"


def settle(invoices: Sequence[Invoice], payments: Sequence[Known], night: date) -> Accounts:
    """Number invoices that are in order; use notes oldest first; then count payments."""
    numbers = {numbered("INV", count): invoice for count, invoice in enumerate(invoices, 1)}
    credited = [invoice for invoice in invoices if invoice.credited]
    notes = {numbered("CN", n): Note(numbered("CN", n), i, i.credited) for n, i in enumerate(credited, 1)}
    accounts = Accounts(numbers, {number: invoice.amount for number, invoice in numbers.items()}, notes)
    refunds: list[tuple[date, Known]] = []
    for payment in _first(payments, night, accounts):
        named = payment["invoice_id"]
        invoice = numbers.get(named)
        refund = Fraction(payment["amount"]) < 0 and named in notes
        if refund:
            invoice = notes[named].invoice
        if invoice is None or invoice.date > night:
            accounts.refused.append(Refused("payments", payment["id"], "unknown_invoice"))
        elif invoice.currency != payment["currency"]:
            accounts.refused.append(Refused("payments", payment["id"], "wrong_currency"))
        elif refund:
            refunds.append((max(payment.since, invoice.date), payment))
        else:
            accounts.balances[named] -= Fraction(payment["amount"])
    refunds.sort(key=lambda told: (told[0], told[1].received))
    for number, invoice in numbers.items():
        while refunds and refunds[0][0] <= invoice.date:
            _pay_out(notes, refunds.pop(0)[1])
        _use(accounts, number, invoice)
    for _, payment in refunds:
        _pay_out(notes, payment)
    return accounts


def _first(payments: Sequence[Known], night: date, accounts: Accounts) -> list[Known]:
    """The first known payment of each id; others with another content are refused."""
    found: dict[str, Known] = {}
    for payment in sorted((p for p in payments if p.since <= night), key=lambda p: (p.since, p.received)):
        kept = found.setdefault(payment["id"], payment)
        if _content(kept) != _content(payment):
            accounts.refused.append(Refused("payments", payment["id"], "duplicate_conflict"))
    return list(found.values())


def _content(payment: Known) -> tuple[object, ...]:
    return (payment["invoice_id"], Fraction(payment["amount"]), payment["currency"], payment["paid_at"])


def _pay_out(notes: dict[str, Note], payment: Known) -> None:
    note = notes[payment["invoice_id"]]
    note.left -= min(note.left, -Fraction(payment["amount"]))


def _use(accounts: Accounts, number: str, invoice: Invoice) -> None:
    left = invoice.amount
    for note in accounts.notes.values():
        mine = (note.invoice.tenant, note.invoice.currency) == (invoice.tenant, invoice.currency)
        if mine and note.invoice.date < invoice.date and left > ZERO:
            taken = min(left, note.left)
            note.left -= taken
            left -= taken
            accounts.balances[number] -= taken
