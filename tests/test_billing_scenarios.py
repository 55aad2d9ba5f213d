"""The worked billing scenarios of tests/reference/billing_scenarios.json, from source files to what is published.

Each case was added up by hand: its invoices, lines, credit notes, balances and refused rows must come out exactly. The
laws of billing are checked on each book, too. What single rules of rating do is tested by dbt's unit tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from billing_models import Book, Models, compiled

SCENARIOS = json.loads((Path(__file__).parent / "reference" / "billing_scenarios.json").read_text(encoding="utf-8"))
KEYS = {"usage_events": "event_id"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


def plain(row: Mapping[str, Any]) -> dict[str, str | None]:
    """Values as the scenarios write them: text, numbers without zeros that say nothing."""

    def text(value: object) -> str | None:
        if value is None:
            return None
        told = str(value)
        number = told.lstrip("-").replace(".", "", 1).isdigit() and "." in told
        return (told.rstrip("0").rstrip(".") or "0") if number else told

    return {column: text(value) for column, value in row.items()}


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """The rows are the same, each as often, whatever their order."""
    assert sorted(str(sorted(plain(row).items())) for row in found) == sorted(
        str(sorted(plain(row).items())) for row in expected
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["id"] for scenario in SCENARIOS])
def test_the_scenario_comes_out(scenario: dict[str, Any], models: Models, tmp_path: Path) -> None:
    book = Book(tmp_path, models)
    for table, rows in scenario["tables"].items():
        if rows:
            book.write(f"{table}.csv", rows)
    book.run(date.fromisoformat(scenario["as_of"]))
    same(
        book.ask("select id, tenant_slug, date, amount, currency, status from invoices"),
        scenario["expected_invoices"],
    )
    same(
        book.ask(
            "select l.invoice_id, l.tenant_slug, i.date, l.line_type, l.item_key, l.service_from, l.service_to,"
            " l.quantity, l.amount, l.currency, l.price_book"
            " from invoice_lines as l left join invoices as i on i.id = l.invoice_id"
        ),
        scenario["expected_lines"],
    )
    same(
        book.ask('select id, tenant_slug, date, currency, amount, amount_left as "left" from credit_notes'),
        scenario.get("expected_credit_notes", []),
    )
    for invoice, balance in scenario.get("expected_balances", {}).items():
        assert [str(row["balance"]) for row in book.ask(f"select balance from invoices where id = '{invoice}'")] == [
            balance
        ]
    refused = book.ask("select table_name, row_json, rule from quarantine")
    same(
        [
            {
                "table_name": row["table_name"],
                "rule": row["rule"],
                "key": json.loads(row["row_json"])[KEYS.get(row["table_name"], "id")],
            }
            for row in refused
        ],
        scenario["expected_quarantine"],
    )
    dropped = book.ask("select sum(rows_duplicate) as dropped from load_audit")[0]["dropped"]
    assert dropped == scenario.get("expected_duplicates", dropped)
    assert book.broken_laws() == []
