"""The independent rater computes the worked scenarios exactly as they were added up by hand."""

from __future__ import annotations

import json
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rater.clerk import Bills, bill, numbered
from rater.money import settle
from rater.record import Arrived

SCENARIOS = json.loads((Path(__file__).parent / "reference" / "billing_scenarios.json").read_text(encoding="utf-8"))


def told(bills: Bills, night: date) -> dict[str, list[dict[str, Any]]]:
    """What came out, as the scenarios write it, with numbers instead of their text."""
    accounts = settle(numbered([bills]), bills.record.payments, night)
    ids = {id(invoice): number for number, invoice in accounts.numbers.items()}
    return {
        "invoices": [
            {"id": number, "tenant_slug": i.slug, "date": str(i.date), "amount": i.amount, "currency": i.currency,
             "status": accounts.status(number, night)}
            for number, i in accounts.numbers.items()
        ],
        "lines": [
            {"invoice_id": ids.get(id(line.invoice)), "tenant_slug": bills.slugs[line.tenant],
             "date": str(line.invoice.date) if line.invoice else None, "line_type": line.line_type,
             "item_key": line.item_key, "service_from": str(line.service_from), "service_to": str(line.service_to),
             "quantity": line.quantity, "amount": line.amount, "currency": line.currency,
             "price_book": line.price_book}
            for line in bills.lines
        ],
        "credit_notes": [
            {"id": note.number, "tenant_slug": note.invoice.slug, "date": str(note.invoice.date),
             "currency": note.invoice.currency, "amount": note.invoice.credited, "left": note.left}
            for note in accounts.notes.values()
        ],
        "quarantine": [
            {"table_name": row.table, "key": row.key, "rule": row.rule} for row in (*bills.refused, *accounts.refused)
        ],
        "balances": [{number: balance} for number, balance in accounts.balances.items()],
    }  # fmt: skip


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    numbers = ("amount", "quantity", "left")
    exact = [{k: Fraction(v) if k in numbers else v for k, v in row.items()} for row in expected]
    assert sorted(str(sorted(row.items())) for row in found) == sorted(str(sorted(row.items())) for row in exact)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["id"] for scenario in SCENARIOS])
def test_the_rater_knows_the_scenario(scenario: dict[str, Any]) -> None:
    night = date.fromisoformat(scenario["as_of"])
    rows = [Arrived(table, row, night) for table, rows in scenario["tables"].items() for row in rows]
    found = told(bill(rows, [night]), night)
    same(found["invoices"], scenario["expected_invoices"])
    same(found["lines"], scenario["expected_lines"])
    same(found["credit_notes"], scenario.get("expected_credit_notes", []))
    same(found["quarantine"], scenario["expected_quarantine"])
    for number, balance in scenario.get("expected_balances", {}).items():
        assert {number: Fraction(balance)} in found["balances"]
