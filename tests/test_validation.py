"""Which rows count: tenants and users in every spelling, rules of every severity, keys, references, conservation."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from small_home import ACME, Home, check_of

from loompin import night as nights
from loompin.night import Landed, NightPlan
from loompin.rules import Expectations

GLOBAL = "671f9511-f30c-4874-a690-349023450000"
TWIN = "550e8400-aaaa-41d4-a716-446655440000"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def tenant(identity: str, name: str, slug: str = "") -> dict[str, str]:
    return {"id": identity, "name": name, "plan": "Pro", "status": "active", "region": "eu", "slug": slug}


def webhook(number: int, tenant_id: str) -> dict[str, str]:
    return {
        "id": f"wh_{number}",
        "tenant_id": tenant_id,
        "url": "https://x.example/hook",
        "event_types": '["*"]',
        "status": "active",
    }


def user(identity: str, tenant_id: str = ACME) -> dict[str, str]:
    return {
        "id": identity,
        "tenant_id": tenant_id,
        "email": f"{identity[:4]}@acme.com",
        "name": "Ann Example",
        "role": "User",
    }


def usage(number: int, tenant_id: str) -> dict[str, str]:
    at = "2026-01-05T10:00:00Z"
    return {"event_id": f"u{number}", "tenant_id": tenant_id, "driver_key": "ai.input.1k", "quantity": "1",
            "occurred_at": at, "received_at": at, "cancels_event_id": ""}  # fmt: skip


def variant(number: int, sku: str, tenant_id: str, product: str = "p_1") -> dict[str, str]:
    return {"id": f"var_{number}", "product_id": product, "sku": sku, "stock_level": "1", "differentiator": "Red",
            "tenant_id": tenant_id}  # fmt: skip


def quarantined(home: Home, table: str) -> list[tuple[object, ...]]:
    return home.landing(
        f"select rule, source_line, value from landing.quarantine where table_name = '{table}'"
        " order by source_line, rule"
    )


def audit(landed: Landed, table: str) -> tuple[int, int, int, int, int]:
    files = next(found.files for found in landed.tables if found.table == table)
    for file in files:
        assert file.rows_read == file.rows_accepted + file.rows_quarantined + file.rows_duplicate + file.rows_superseded
    return (
        sum(f.rows_read for f in files), sum(f.rows_accepted for f in files), sum(f.rows_quarantined for f in files),
        sum(f.rows_duplicate for f in files), sum(f.rows_superseded for f in files),
    )  # fmt: skip


def test_a_tenant_in_every_spelling(home: Home) -> None:
    spellings = [ACME, "`550e8400-e29b-...`", "acme_1", "global_tech", "671f9511...", "nobody", "", "NULL"]
    home.write("webhooks.csv", [webhook(number, text) for number, text in enumerate(spellings)])
    landed = home.night("2026-01-06")
    assert home.rows("webhooks", "id, tenant_id, tenant_ref") == [
        ("wh_0", ACME, ACME),
        ("wh_1", ACME, "550e8400-e29b-..."),
        ("wh_2", ACME, "acme_1"),
        ("wh_3", GLOBAL, "global_tech"),
        ("wh_4", GLOBAL, "671f9511..."),
        ("wh_5", None, "nobody"),
        ("wh_6", None, None),
        ("wh_7", None, None),
    ]
    unknown = check_of(landed, "webhooks.tenant_id_reference")
    assert (unknown.severity, unknown.status, unknown.rows_failed) == ("warn", "fail", 1)
    assert unknown.sample_keys == ["webhooks.csv:7 (id=wh_5)"]
    assert quarantined(home, "webhooks") == []


def test_a_shortened_tenant_that_fits_two_is_an_error(home: Home) -> None:
    home.write("tenants.csv", [tenant(ACME, "Acme Corp", "acme_1"), tenant(TWIN, "Acme Twin")])
    home.write("webhooks.csv", [webhook(1, "550e8400-..."), webhook(2, "550e8400-e29b-..."), webhook(3, "acme_twin")])
    landed = home.night("2026-01-06")
    assert home.rows("webhooks", "id, tenant_id") == [("wh_2", ACME), ("wh_3", TWIN)]
    assert quarantined(home, "webhooks") == [("tenant_id_ambiguous", 2, "550e8400-...")]
    assert check_of(landed, "webhooks.tenant_id_reference").rows_failed == 0


def test_an_unknown_tenant_leaves_usage_and_comes_back_with_its_tenant(home: Home) -> None:
    home.write("usage_events.csv", [usage(1, "acme_1"), usage(2, "initech")])
    landed = home.night("2026-01-06")
    assert home.rows("usage_events", "event_id, tenant_slug") == [("u1", "acme_1")]
    assert quarantined(home, "usage_events") == [("unknown_tenant", 3, "initech")]
    assert audit(landed, "usage_events") == (2, 1, 1, 0, 0)
    home.write("tenants/more.csv", [tenant("982f2345-d41c-4321-b112-998877660000", "Initech")])
    landed = home.night("2026-01-08")
    assert home.rows("usage_events", "event_id, tenant_slug, _known_night") == [
        ("u1", "acme_1", date(2026, 1, 5)),
        ("u2", "initech", date(2026, 1, 8)),
    ]
    assert audit(landed, "usage_events") == (2, 2, 0, 0, 0)


def test_global_is_no_tenant_and_no_warning(home: Home) -> None:
    rows = [("sys_1", "global"), ("sys_2", "nobody")]
    home.write("events.csv", [
        {"id": identity, "tenant_id": ref, "event_name": "NODE_UP", "severity": "info", "metadata": "{}"}
        for identity, ref in rows
    ])  # fmt: skip
    landed = home.night("2026-01-06")
    assert home.rows("events", "id, tenant_id, tenant_ref") == [("sys_1", None, "global"), ("sys_2", None, "nobody")]
    assert check_of(landed, "events.tenant_id_reference").sample_keys == ["events.csv:3 (id=sys_2)"]


def test_users_resolve_from_a_full_id_or_a_unique_beginning(home: Home) -> None:
    full = "782a2222-b333-4444-a555-666677778888"
    home.write("users.csv", [user(full), user("903b3333-c444-5555-b666-777788889999")])
    refs = [full, "`782a2222...`", "u_1", "admin"]
    home.write("audit_logs.csv", [
        {"id": f"aud_{number}", "tenant_id": ACME, "user_id": ref, "action": "LOGIN", "entity_type": "ACCOUNT"}
        for number, ref in enumerate(refs)
    ])  # fmt: skip
    landed = home.night("2026-01-06")
    assert home.rows("audit_logs", "id, user_id") == [
        ("aud_0", full),
        ("aud_1", full),
        ("aud_2", "u_1"),
        ("aud_3", "admin"),
    ]
    assert check_of(landed, "audit_logs.user_id_reference").rows_failed == 2


def with_severity(monkeypatch: pytest.MonkeyPatch, severities: dict[str, str]) -> None:
    expectations = Expectations({"customer": "customers", "product": "product_variants"}, "quarantine", severities)  # type: ignore[arg-type]
    monkeypatch.setattr(nights, "read_expectations", lambda: expectations)


@pytest.mark.parametrize(("severity", "stays"), [("warn", True), ("quarantine", False), ("block", False)])
def test_what_a_severity_does(home: Home, monkeypatch: pytest.MonkeyPatch, severity: str, stays: bool) -> None:
    with_severity(monkeypatch, {"customers.email_regex": severity})
    home.write("validation_rules.csv", [
        {"entity_type": "customer", "field_name": "email", "rule_type": "regex", "params": "`^.+@.+\\..+$`"}
    ])  # fmt: skip
    rows = [("c1", "a@b.co"), ("c2", "no-mail"), ("c3", "")]
    home.write("customers.csv", [
        {"id": identity, "tenant_id": ACME, "email": email, "name": "Ann", "health_score": "1"}
        for identity, email in rows
    ])  # fmt: skip
    landed = home.night("2026-01-06", complete=False)
    assert home.rows("customers", "id") == ([("c1",), ("c2",), ("c3",)] if stays else [("c1",), ("c3",)])
    assert quarantined(home, "customers") == ([] if stays else [("email_regex", 3, "no-mail")])
    found = check_of(landed, "customers.email_regex")
    assert (found.severity, found.status, found.rows_checked, found.rows_failed) == (severity, "fail", 3, 1)
    assert found.sample_keys == ["customers.csv:3 (id=c2)"]
    assert [reason.split(":")[0] for reason in landed.blocking] == (
        ["customers.email_regex"] if severity == "block" else []
    )


def test_broken_rules_flag_no_row_and_end_the_night_only_where_they_block(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_severity(monkeypatch, {"customers.email_positive": "block"})
    home.write("validation_rules.csv", [
        {"entity_type": "customer", "field_name": "mail", "rule_type": "not_null", "params": "{}"},
        {"entity_type": "robot", "field_name": "mood", "rule_type": "not_null", "params": "{}"},
        {"entity_type": "customer", "field_name": "email", "rule_type": "positive", "params": "{}"},
    ])  # fmt: skip
    home.write("customers.csv", [{"id": "c1", "tenant_id": ACME, "email": "x", "name": "Ann", "health_score": "1"}])
    landed = home.night("2026-01-06", complete=False)
    assert home.rows("customers", "id") == [("c1",)]
    broken = home.landing(
        "select rule_id, status, rows_failed from landing.data_quality where status = 'broken' order by 1"
    )
    assert broken == [
        ("customers.email_positive", "broken", 0),
        ("customers.mail_not_null", "broken", 0),
        ("robot.mood_not_null", "broken", 0),
    ]
    assert check_of(landed, "robot.mood_not_null").message == (
        "broken rule: no table belongs to the entity 'robot'; name it in expectations/entities.yml"
    )
    assert len(landed.blocking) == 1


def test_unique_within_a_tenant_flags_all_copies_but_the_first(home: Home) -> None:
    home.write("validation_rules.csv", [
        {"entity_type": "product", "field_name": "sku", "rule_type": "unique", "params": '{"scope": "tenant"}'}
    ])  # fmt: skip
    home.write("product_variants.csv", [
        variant(1, "A", ACME), variant(2, "A", "acme_1"), variant(3, "A", GLOBAL), variant(4, "A", ACME),
        variant(5, "", ACME), variant(6, "", ACME),
    ])  # fmt: skip
    landed = home.night("2026-01-06")
    assert home.rows("product_variants", "id") == [("var_1",), ("var_3",), ("var_5",), ("var_6",)]
    assert quarantined(home, "product_variants") == [("sku_unique", 3, "A"), ("sku_unique", 5, "A")]
    assert check_of(landed, "product_variants.sku_unique").rows_failed == 2
    assert audit(landed, "product_variants") == (6, 4, 2, 0, 0)


def test_rows_of_one_key(home: Home) -> None:
    one = {**webhook(1, ACME), "status": "active"}
    home.write("webhooks/a.csv", [one, one, webhook(2, ACME), {**webhook(2, ACME), "status": "inactive"}])
    home.write("webhooks/b.csv", [{**one, "status": "paused"}, webhook(3, ACME)])
    landed = home.night("2026-01-06")
    assert home.rows("webhooks", "id, status") == [("wh_1", "paused"), ("wh_2", "active"), ("wh_3", "active")]
    # Line 3 is the same row again, line 5 contradicts line 4 in the same file, and b.csv's row supersedes a.csv's.
    assert quarantined(home, "webhooks") == [("duplicate_key", 5, "wh_2")]
    assert audit(landed, "webhooks") == (6, 3, 1, 1, 1)


def test_versions_within_one_file_are_told_by_when_they_were_received(home: Home) -> None:
    def subscription(plan: str, received: str) -> dict[str, str]:
        return {"id": "s1", "tenant_id": "acme_1", "plan": plan, "currency": "USD", "started_on": "2026-01-01",
                "ended_on": "", "net_terms_days": "30", "minimum_commitment": "", "received_at": received}  # fmt: skip

    home.write("plans.csv", [
        {"name": plan, "price_monthly": "1.00", "max_users": "1", "features": "[]"} for plan in ("Pro", "Free", "Trial")
    ])  # fmt: skip
    home.write("subscriptions.csv", [
        subscription("Pro", "2026-01-05T00:00:00Z"), subscription("Free", "2026-01-02T00:00:00Z"),
        subscription("Trial", "2026-01-09T00:00:00Z"),
    ])  # fmt: skip
    landed = home.night("2026-01-06")
    assert home.rows("subscriptions", "plan") == [("Pro",)]
    assert audit(landed, "subscriptions") == (2, 1, 0, 0, 1)
    home.night("2026-01-10")
    assert home.rows("subscriptions", "plan") == [("Trial",)]


def test_an_event_id_is_another_event_in_another_month(home: Home) -> None:
    def at(moment: str, quantity: str) -> dict[str, str]:
        return {**usage(1, ACME), "occurred_at": moment, "received_at": moment, "quantity": quantity}

    home.write("usage_events.csv", [
        at("2026-01-05T10:00:00Z", "1"), at("2026-01-05T10:00:00Z", "1"), at("2026-01-06T10:00:00Z", "2"),
        at("2026-02-01T00:00:00Z", "3"),
    ])  # fmt: skip
    landed = home.night("2026-02-02")
    assert home.rows("usage_events", "quantity::int") == [(1,), (3,)]
    assert quarantined(home, "usage_events") == [("duplicate_conflict", 4, f"{ACME}, u1")]
    assert audit(landed, "usage_events") == (4, 2, 1, 1, 0)


def test_orphans_stay_and_are_counted(home: Home) -> None:
    home.write("taxonomy_topics.csv", [
        {"id": identity, "label": "Topic", "parent_id": parent, "weight": "1.0"}
        for identity, parent in [("t1", "NULL"), ("t2", "t1"), ("t3", "t9")]
    ])  # fmt: skip
    landed = home.night("2026-01-06")
    assert home.rows("taxonomy_topics", "id, parent_id") == [("t1", None), ("t2", "t1"), ("t3", "t9")]
    orphans = check_of(landed, "taxonomy_topics.parent_id_reference")
    assert (orphans.status, orphans.rows_failed, orphans.sample_keys) == ("fail", 1, ["taxonomy_topics.csv:4 (id=t3)"])


def test_the_sql_of_a_check_finds_its_rows(home: Home) -> None:
    home.write("webhooks.csv", [webhook(1, ACME), webhook(2, "nobody")])
    landed = home.night("2026-01-06")
    sql = check_of(landed, "webhooks.tenant_id_reference").sql
    assert sql == 'select * from "webhooks" where "tenant_id" is null and tenant_ref is not null'
    assert home.landing(f"with webhooks as (from source.webhooks) select id from ({sql})") == [("wh_2",)]


def test_text_that_looks_like_sql_stays_text(home: Home) -> None:
    nasty = "'); drop table tenants; --"
    home.write("webhooks.csv", [{**webhook(1, nasty), "url": nasty, "status": "=cmd|' /C calc'!A0"}])
    home.write(
        "validation_rules.csv", [{"entity_type": nasty, "field_name": nasty, "rule_type": nasty, "params": nasty}]
    )
    landed = home.night("2026-01-06")
    assert home.rows("webhooks", "url, status, tenant_ref") == [(nasty, "=cmd|' /C calc'!A0", nasty)]
    assert len(home.rows("tenants")) == 2
    assert check_of(landed, f"{nasty}.{nasty}_{nasty}").status == "broken"


def test_an_earlier_plan_works_in_a_warehouse_of_its_own(home: Home) -> None:
    home.night("2026-01-05")
    home.night("2026-01-07")
    plan = nights.plan(home.settings, date(2026, 1, 5))
    assert isinstance(plan, NightPlan)
    assert (plan.mode, plan.last_completed) == ("earlier", date(2026, 1, 7))
    assert plan.warehouse != home.settings.warehouse
