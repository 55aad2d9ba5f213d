"""A contract that is wrong fails when it is read, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from loompin.contracts import ContractError, Contracts, load, read

GOOD = """version: 2
sources:
  - name: core_platform
    schema: source
    tables:
      - name: tenants
        description: One row per tenant.
        config:
          meta:
            key: [id]
        columns:
          - name: id
            data_type: varchar
            description: Tenant id.
            config: {meta: {format: id, not_null: true}}
      - name: users
        description: One row per user.
        config:
          meta:
            key: [id]
            tenant: tenant_id
        columns:
          - name: id
            data_type: varchar
            description: User id.
          - name: tenant_id
            data_type: varchar
            description: Tenant.
            config: {meta: {references: {to: tenants.id, orphan: warn}}}
          - name: tenant_ref
            data_type: varchar
            description: As received.
            config: {meta: {origin: derived}}
"""


def read_text(folder: Path, text: str) -> Contracts:
    (folder / "core_platform.yml").write_text(text, encoding="utf-8")
    return read(folder)


def test_a_good_contract_is_read(tmp_path: Path) -> None:
    users = read_text(tmp_path, GOOD).tables["users"]
    assert (users.domain, users.key, users.tenant) == ("core_platform", ("id",), "tenant_id")
    assert users.required_columns == ["id", "tenant_id"]
    assert users.by_name["tenant_id"].references is not None
    assert users.by_name["tenant_id"].references.targets == [("tenants", "id")]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("varchar\n            description: User id.", "text\n            description: User id.", 23,
         "users.id has the unknown data_type 'text'"),
        ("to: tenants.id", "to: tenant.id", 26, "tenant_id refers to tenant.id, which is not declared"),
        ("to: tenants.id", "to: tenants.key", 26, "tenant_id refers to tenants.key, which is not declared"),
        ("to: tenants.id", "to: tenants", 26, "'tenants' is not of the form table.column"),
        ("orphan: warn", "orphan: perhaps", 26, "references.orphan: Input should be 'warn', 'quarantine' or 'block'"),
        ("format: id, not_null", "format: uuid, not_null", 12, "tenants.id: format"),
        ("format: id, not_null", "format: percent, not_null", 12, "format percent does not give the type varchar"),
        ("format: id, not_null", "format: id, notnull", 12, "tenants.id: notnull: Extra inputs are not permitted"),
        ("tenant: tenant_id", "tenant: tenant", 16, "tenant names the column tenant, which it does not have"),
        ("key: [id]\n            tenant", "key: [key]\n            tenant", 16, "key names the column key"),
        ("- name: tenant_ref", "- name: tenant_id", 16, "column tenant_id is declared twice"),
        ("- name: tenant_ref", "- name: tenant_reference", 16, "needs the derived column tenant_ref"),
        ("- name: users", "- name: tenants", 16, "table tenants is declared twice"),
        ("  - name: core_platform", "  - name: [core_platform", 4, "not valid YAML"),
    ],
)  # fmt: skip
def test_a_wrong_contract_names_file_and_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ContractError) as raised:
        read_text(tmp_path, GOOD.replace(old, new))
    assert says in str(raised.value)
    assert str(raised.value).startswith(f"core_platform.yml, line {line}: ")


def test_references_come_before_those_who_refer() -> None:
    ordered = [table.name for table in load().in_reference_order()]
    assert len(ordered) == len(load().tables) == 86
    assert ordered.index("tenants") < ordered.index("users") < ordered.index("user_security")
    assert ordered.index("cost_drivers") < ordered.index("usage_events")


def test_a_change_of_a_type_changes_the_fingerprint(tmp_path: Path) -> None:
    before = read_text(tmp_path, GOOD).tables
    after = read_text(tmp_path, GOOD.replace("format: id, not_null", "format: text, not_null")).tables
    assert before["tenants"].fingerprint != after["tenants"].fingerprint
    assert before["users"].fingerprint == after["users"].fingerprint
