"""Publishing is all or nothing, shows no raw value, and takes nothing from who is reading."""

from __future__ import annotations

import contextlib
import stat
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import duckdb
import pytest

from loompin import dbt_plugin, publish
from loompin.contracts import Contracts, read
from loompin.publish import NotPublishable, Published
from loompin.settings import Settings

NIGHT = date(2026, 2, 10)
MARTS = ["tenants", "users", "notes", "note_counts"]
RAW = ["tony@stark.com", "Tony Stark", "bruce@wayne.com", "Bruce Wayne", "8.8.8.8", "lp_live_secret"]

CONTRACTS = """
version: 2
sources:
  - name: core_platform
    schema: source
    tables:
      - name: tenants
        description: One row a tenant.
        columns:
          - {name: id, data_type: varchar, description: Id.}
          - {name: name, data_type: varchar, description: Name.}
      - name: users
        description: One row a user.
        columns:
          - {name: id, data_type: varchar, description: Id.}
          - {name: email, data_type: varchar, description: Address., config: {meta: {personal: email}}}
          - {name: name, data_type: varchar, description: Name., config: {meta: {personal: name}}}
          - {name: last_login_ip, data_type: varchar, description: Address., config: {meta: {personal: ip}}}
          - {name: prefix, data_type: varchar, description: Token., config: {meta: {personal: token}}}
      - name: notes
        description: One row a note.
        columns:
          - {name: id, data_type: bigint, description: Id.}
          - {name: text, data_type: varchar, description: Text., config: {meta: {personal: free_text}}}
          - {name: score, data_type: double, description: Score.}
      - name: drafts
        description: One row a draft, not published.
        config: {meta: {published: false}}
        columns:
          - {name: id, data_type: varchar, description: Id.}
"""

WAREHOUSE = """
create schema source;
create schema landing;
create table source.tenants (id varchar, name varchar);
insert into source.tenants values ('stark', 'Stark Industries'), ('wayne', 'Bruce Wayne');
create table source.users (id varchar, email varchar, name varchar, last_login_ip varchar, prefix varchar);
insert into source.users values
    ('u1', 'tony@stark.com', 'Tony Stark', '8.8.8.8', 'lp_live_secret'),
    ('u2', 'bruce@wayne.com', 'Bruce Wayne', null, null);
create table source.notes (id bigint, text varchar, score double);
insert into source.notes values
    (1, 'Tony Stark wrote from 8.8.8.8 with tony@stark.com', 0.1), (2, 'all well', null), (3, '', 1e300);
create table landing.quarantine (table_name varchar, source_file varchar, source_line bigint, rule varchar,
    column_name varchar, value varchar, reason varchar, row_json varchar, received_at timestamp);
insert into landing.quarantine values
    ('users', 'users.csv', 7, 'email_regex', 'email', 'tony@stark.com', 'no address', '{"name": "Tony Stark"}', null),
    ('tenants', 'tenants.csv', 3, 'id_not_null', 'id', '', 'is missing', '{"id": ""}', null);
create table landing.load_audit (table_name varchar, source_file varchar, night date, rows_read bigint,
    rows_accepted bigint, rows_quarantined bigint, rows_duplicate bigint, rows_superseded bigint, seconds double);
insert into landing.load_audit values ('users', 'users.csv', '2026-02-10', 3, 2, 1, 0, 0, 0.5);
create schema intermediate;
create table intermediate.int_billing_rules (table_name varchar, rule varchar, column_name varchar);
insert into intermediate.int_billing_rules values ('tenants', 'unpriced', 'name'), ('users', 'overlap', 'id');
create table intermediate.int_billing_quarantine as from landing.quarantine limit 0;
create table landing.data_quality (night date, rule_id varchar, table_name varchar, column_name varchar,
    severity varchar, status varchar, rows_checked bigint, rows_failed bigint);
"""

MODELS = """
create table main.tenants as from source.tenants;
create table main.users as select id, pseudonym(email) as email, pseudonym(name) as name,
    pseudonym(last_login_ip) as last_login_ip, pseudonym(prefix) as prefix from source.users;
create table main.notes as select id, redact(text, null) as text, score from source.notes;
create table main.note_counts as select 'Bruce Wayne' as tenant, count(*) as notes from source.notes;
comment on table main.users is 'One row a user.';
comment on column main.users.email is 'Pseudonym of the user''s address.';
"""


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Contracts:
    folder = tmp_path_factory.mktemp("contracts")
    (folder / "core_platform.yml").write_text(CONTRACTS)
    return read(folder)


@pytest.fixture
def settings(tmp_path: Path, contracts: Contracts) -> Settings:
    settings = Settings(home=tmp_path / "home")
    settings.prepare()
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(WAREHOUSE)
        dbt_plugin.register(connection, b"key", contracts)
        connection.execute(MODELS)
    return settings


def change(settings: Settings, sql: str) -> None:
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(sql)


def build(settings: Settings, contracts: Contracts, run_id: str = "run 1") -> Published:
    return publish.build(settings, settings.warehouse, NIGHT, run_id, "v1", expected=MARTS, contracts=contracts)


def ask(settings: Settings, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(settings.published), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_what_is_published_can_be_queried(settings: Settings, contracts: Contracts) -> None:
    assert publish.published_as(settings) is None
    published = build(settings, contracts)
    assert not settings.published.exists()
    publish.put(published)
    assert publish.published_as(settings) == publish.Standing(NIGHT, "run 1")
    assert [path.name for path in settings.published.parent.iterdir()] == ["analytics.duckdb"]
    assert stat.S_IMODE(settings.published.stat().st_mode) == 0o644
    assert (published.tables, published.rows) == (8, 2 + 2 + 3 + 1 + 2 + 1 + 2 + 1)
    assert set(published.digests) == {*MARTS, "quarantine"}
    assert ask(settings, "select comment from duckdb_tables() where table_name = 'users'") == [("One row a user.",)]
    assert ask(settings, "select count(*) from duckdb_tables() where comment is null") == [(3,)]
    told = "select comment from duckdb_columns() where table_name = 'users' and column_name = 'email'"
    assert ask(settings, told) == [("Pseudonym of the user's address.",)]
    run_columns = "from duckdb_columns() where table_name in ('quarantine', 'load_audit', 'data_quality', 'data_as_of')"
    assert ask(settings, f"select count(*), count(comment) {run_columns}") == [(30, 30)]
    assert ask(settings, "select night, run_id, code_version, duckdb_version from data_as_of") == [
        (NIGHT, "run 1", "v1", duckdb.__version__)
    ]


def test_no_raw_value_is_in_the_file(settings: Settings, contracts: Contracts) -> None:
    change(settings, "update main.tenants set name = 'W.' where id = 'wayne'")
    change(settings, "update main.note_counts set tenant = 'W.'")
    publish.put(build(settings, contracts))
    content = settings.published.read_bytes()
    assert b"Stark Industries" in content  # strings of this size stand in the file as they are
    assert [raw for raw in RAW if raw.encode() in content] == []
    assert ask(settings, "select text from notes where id = 1") == [("[name] wrote from [ip] with [email]",)]
    assert ask(settings, "select table_name, value, row_json from quarantine order by all") == [
        ("tenants", "", '{"id": ""}'),
        ("users", None, None),
    ]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("update main.users set email = 'tony@stark.com' where id = 'u1'", r"users\.email holds raw values"),
        ("update main.users set name = 'somebody else' where id = 'u1'", r"users\.name holds raw values"),
        ("update main.notes set text = 'ask TONY@stark.com now' where id = 2", r"notes\.text holds a raw e-mail"),
        ("update main.note_counts set tenant = 'Tony Stark'", r"note_counts\.tenant holds a raw personal value"),
        ("drop table main.notes", "lacks the tables notes"),
        ("drop table intermediate.int_billing_quarantine", "lacks int_billing_quarantine; derive"),
        ("update landing.load_audit set rows_read = 4", r"the rows of users\.csv do not add up"),
        (
            "insert into intermediate.int_billing_quarantine values ('users', 'f', 1, 'overlap', '', '', '', '', null)",
            r"the rows of f do not add up",
        ),
        (
            "drop table main.notes; create view main.notes as from source.notes",
            "the view notes reads more than published tables",
        ),
    ],
)
def test_what_is_wrong_is_not_published(settings: Settings, contracts: Contracts, broken: str, message: str) -> None:
    publish.put(build(settings, contracts))
    before = settings.published.read_bytes()
    change(settings, broken)
    with pytest.raises(NotPublishable, match=message):
        build(settings, contracts, "run 2")
    assert settings.published.read_bytes() == before
    assert [path.name for path in settings.published.parent.iterdir()] == ["analytics.duckdb"]


def test_a_view_over_published_tables_is_published_as_one(settings: Settings, contracts: Contracts) -> None:
    change(
        settings,
        "create view main.long_notes as select id, 'warehouse.' as place from warehouse.main.notes where id > 1;"
        " comment on view main.long_notes is 'One row a note.'; comment on column main.long_notes.id is 'Id.'",
    )
    published = publish.build(
        settings, settings.warehouse, NIGHT, "run 1", "v1", expected=[*MARTS, "long_notes"], contracts=contracts
    )
    publish.put(published)
    assert ask(settings, "select * from long_notes order by id") == [(2, "warehouse."), (3, "warehouse.")]
    assert ask(settings, "select comment from duckdb_views() where view_name = 'long_notes'") == [("One row a note.",)]
    column = "select comment from duckdb_columns() where table_name = 'long_notes' and column_name = 'id'"
    assert ask(settings, column) == [("Id.",)]
    # It holds no rows: what it shows is digested where it stands.
    assert set(published.digests) == {*MARTS, "quarantine"}


def test_a_table_that_is_no_mart_stays_private(settings: Settings, contracts: Contracts) -> None:
    change(settings, "create table main.former_mart as from source.users")
    published = build(settings, contracts)
    publish.put(published)
    assert "former_mart" not in published.digests
    assert ask(settings, "select count(*) from duckdb_tables() where table_name = 'former_mart'") == [(0,)]


def test_a_tenant_may_be_called_as_a_person_is(settings: Settings, contracts: Contracts) -> None:
    published = build(settings, contracts)  # note_counts.tenant is the tenant Bruce Wayne
    publish.put(published)
    assert ask(settings, "select tenant from note_counts") == [("Bruce Wayne",)]


def test_a_reader_of_the_old_file_keeps_reading(settings: Settings, contracts: Contracts) -> None:
    publish.put(build(settings, contracts))
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(settings.published)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert reader.stdin is not None
    assert reader.stdout is not None
    with contextlib.closing(reader.stdin), reader.stdout:
        assert reader.stdout.readline() == "run 1\n"
        change(settings, "insert into main.notes select 100 + i, 'more', i from range(20000) as r(i)")
        publish.put(build(settings, contracts, "run 2"))
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "run 1 3\n"
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "run 2 20003\n"
    assert reader.wait(30) == 0


READER = """
import sys, duckdb
path = sys.argv[1]
connection = duckdb.connect(path, read_only=True)
asked = "select run_id || ' ' || (select count(*) from notes) from data_as_of"
print(connection.execute("select run_id from data_as_of").fetchone()[0], flush=True)
sys.stdin.readline()
print(connection.execute(asked).fetchone()[0], flush=True)
connection.close()
sys.stdin.readline()
print(duckdb.connect(path, read_only=True).execute(asked).fetchone()[0], flush=True)
"""


@pytest.mark.parametrize("moment", ["_check_masked", "_check_readable", "sync_before_rename"])
def test_a_killed_publication_leaves_the_old_file(settings: Settings, contracts: Contracts, moment: str) -> None:
    publish.put(build(settings, contracts))
    before = settings.published.read_bytes()
    folder = settings.home.parent / "contracts"
    folder.mkdir()
    (folder / "core_platform.yml").write_text(CONTRACTS)
    script = f"""
        import os, signal, sys
        from datetime import date
        from pathlib import Path
        from loompin import publish
        from loompin.contracts import read
        from loompin.settings import Settings

        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)

        if {moment!r} == "sync_before_rename":
            publish.os.fsync = die
        else:
            setattr(publish, {moment!r}, die)
        settings = Settings(home=Path({str(settings.home)!r}))
        publish.put(publish.build(
            settings, settings.warehouse, date(2026, 2, 10), "run 2", "v1",
            expected={MARTS!r}, contracts=read(Path({str(folder)!r})),
        ))
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=Path(publish.__file__).parent.parent)
    assert killed.returncode == -9
    assert settings.published.read_bytes() == before
    assert len(list(settings.published.parent.iterdir())) > 1
    publish.put(build(settings, contracts, "run 3"))
    assert [path.name for path in settings.published.parent.iterdir()] == ["analytics.duckdb"]
    assert publish.published_as(settings) == publish.Standing(NIGHT, "run 3")


def test_digests_tell_content_and_not_order(settings: Settings, contracts: Contracts) -> None:
    first = build(settings, contracts)
    publish.discard(first)
    change(
        settings,
        "create or replace table main.notes as select * from main.notes order by id desc;"
        " update main.notes set score = 0.1 + 1e-15 where id = 1;"
        " insert into landing.data_quality values ('2026-02-10', 'a.b', 'a', 'b', 'warn', 'pass', 1, 0)",
    )
    second = build(settings, contracts, "run 2")
    publish.discard(second)
    assert second.digests == first.digests
    for row in ("(2, 'all well', 0)", "(2, 'all well ', null)", "(2, null, null)", "(20, 'all well', null)"):
        change(settings, f"delete from main.notes where id in (2, 20); insert into main.notes values {row}")
        changed = build(settings, contracts)
        publish.discard(changed)
        assert {table for table in first.digests if first.digests[table] != changed.digests[table]} == {"notes"}
    assert list(settings.published.parent.iterdir()) == []


def test_every_model_under_marts_is_expected() -> None:
    assert len(publish.marts()) == len(set(publish.marts()))
    assert {"tenants", "invoices", "executive_config"} <= set(publish.marts())
