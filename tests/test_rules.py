"""Rules as data: what a row of `validation_rules` becomes, and why one cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest

from loompin.contracts import load
from loompin.rules import Expectations, ExpectationsError, Rule, contract_rules, platform_rules, read_expectations

ENTITIES = {"customer": "customers", "event": "customer_events", "product": "product_variants"}
EXPECTATIONS = Expectations(ENTITIES, "quarantine", {"customers.email_regex": "block"})
ALL = {"customers": {"email"}, "customer_events": {"occurred_at", "sentiment_score"}, "product_variants": {"tenant_id"}}


def rule(entity: str | None, field: str | None, rule_type: str | None, params: str | None) -> Rule:
    return platform_rules([(entity, field, rule_type, params)], load(), ALL, EXPECTATIONS)[0]


@pytest.mark.parametrize(
    ("row", "good"),
    [
        (("customer", "email", "regex", "^.+@.+\\..+$"),
         """regexp_matches(cast("email" as varchar), '^.+@.+\\..+$')"""),
        (("customer", "email", "regex", '{"pattern": "a\'b"}'),
         """regexp_matches(cast("email" as varchar), 'a''b')"""),
        (("event", "occurred_at", "not_null", "{}"), '"occurred_at" is not null'),
        (("event", "sentiment_score", "range", '{"min": -1, "max": 1}'),
         '("sentiment_score" >= -1 and "sentiment_score" <= 1 and not isnan("sentiment_score"))'),
        (("customer", "health_score", "positive", None), '("health_score" > 0)'),
    ],
)  # fmt: skip
def test_a_rule_is_one_predicate(row: tuple[str, str, str, str], good: str) -> None:
    made = rule(*row)
    assert made.broken is None
    assert made.good == good
    assert made.name == f"{row[1]}_{row[2]}"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (("customer", "email", "checksum", "{}"), "'checksum' is no rule type"),
        (("customer", "mail", "not_null", "{}"), "customers has no column 'mail'"),
        (("robot", "email", "not_null", "{}"), "no table belongs to the entity 'robot'"),
        (
            ("event", "customer_id", "not_null", "{}"),
            "no file of customer_events brings the optional column 'customer_id'",
        ),
        (("event", "sentiment_score", "range", '{"min": '), "params are not valid JSON"),
        (("event", "sentiment_score", "range", "[1, 2]"), "params must be a JSON object"),
        (("event", "sentiment_score", "range", "{}"), "range needs params with min, max or both"),
        (("event", "sentiment_score", "range", '{"min": "low"}'), "range needs a number as min"),
        (("event", "sentiment_score", "range", '{"min": NaN}'), "range needs a number as min"),
        (("customer", "email", "range", '{"min": 1}'), "range needs a column of numbers, and email is varchar"),
        (("customer", "email", "positive", "{}"), "positive needs a column of numbers"),
        (("customer", "email", "regex", ""), "regex needs a pattern"),
        (("customer", "email", "regex", "(?<=a)b"), "RE2 does not accept the pattern"),
        (("product", "sku", "unique", '{"scope": "galaxy"}'), "unique knows the scopes all and tenant"),
        (("plans", "name", "unique", '{"scope": "tenant"}'), "needs a table with a tenant, and plans has none"),
        ((None, None, None, None), "no table belongs to the entity ''"),
    ],
)
def test_a_rule_that_cannot_run_is_broken_and_says_why(row: tuple[str, str, str, str], why: str) -> None:
    made = rule(*row)
    assert made.good is None
    assert made.broken is not None
    assert why in made.broken


def test_an_optional_column_is_broken_only_while_files_lack_it() -> None:
    row = ("event", "customer_id", "not_null", "{}")
    brought = {"customer_events": {"customer_id"}}
    assert platform_rules([row], load(), brought, EXPECTATIONS)[0].broken is None
    # A table without any file yet has nothing that could lack it.
    assert platform_rules([row], load(), {}, EXPECTATIONS)[0].broken is None


def test_unique_within_a_tenant_names_its_columns() -> None:
    made = rule("product", "sku", "unique", '{"scope": "tenant"}')
    assert made.params == {"columns": ["tenant_id", "sku"], "scope": "tenant"}


def test_severities_come_from_expectations() -> None:
    assert rule("customer", "email", "regex", "a").severity == "block"
    assert rule("customer", "email", "not_null", "{}").severity == "quarantine"


def test_text_of_a_rule_stays_a_value() -> None:
    made = rule("customer", "email", "regex", "x'); drop table customers; --")
    assert made.broken is not None or made.good == (
        """regexp_matches(cast("email" as varchar), 'x''); drop table customers; --')"""
    )


def test_contracts_imply_rules_by_the_names_of_billing() -> None:
    names = {made.name for made in contract_rules(load().tables["usage_events"], EXPECTATIONS)}
    assert {"bad_quantity", "future_event", "unknown_tenant", "unknown_driver", "duplicate_conflict"} <= names


def test_wrong_expectations_are_told(tmp_path: Path) -> None:
    with pytest.raises(ExpectationsError, match=r"entities\.yml cannot be read"):
        read_expectations(tmp_path)
    (tmp_path / "entities.yml").write_text("entities: {customer: customers}")
    (tmp_path / "severities.yml").write_text("default: quarantine\nrules: {customers.email_regex: fatal}")
    with pytest.raises(
        ExpectationsError, match=r"customers\.email_regex has the severity 'fatal'; use warn, quarantine"
    ):
        read_expectations(tmp_path)
