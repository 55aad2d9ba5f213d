"""What the pages for people say is true: links lead somewhere, commands exist, examples work."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import duckdb
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from loompin import cli, contracts
from tests.conftest import REPO, loompin_process

PAGES = [REPO / "README.md", REPO / "DECISIONS.md", *sorted((REPO / "docs").glob("*.md"))]
README = (REPO / "README.md").read_text(encoding="utf-8")
REVIEWS = (REPO / "docs" / "reviews.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_place_of_this_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.~-])/(?:home|root|tmp|work|Users|mnt)/", page.read_text(encoding="utf-8")) == []


def test_make_targets_exist() -> None:
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_commands_and_their_options_exist() -> None:
    named = re.findall(r"^\| `loompin ([^`]+)` \|", README, re.MULTILINE)
    # Every command stands there.
    assert {call.split()[0] for call in named} == set(get_command(cli.app).commands)  # type: ignore[attr-defined]
    for call in named:
        words = [word for word in call.split() if word.islower() and word.isalpha()]
        told = CliRunner().invoke(cli.app, [*words, "--help"], env={"COLUMNS": "200"})
        assert told.exit_code == 0, call
        for option in re.findall(r"--[a-z-]+", call):
            assert option in told.stdout, call


def test_settings_are_those_of_the_code() -> None:
    from loompin.settings import Settings

    named = set(re.findall(r"^\| `LOOMPIN_([A-Z_]+)`", README, re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}


def test_the_example_of_a_table_is_a_contract(tmp_path: Path) -> None:
    domains = Path(shutil.copytree(contracts.DOMAINS, tmp_path / "domains"))
    path = domains / "strategy.yml"
    text = path.read_text(encoding="utf-8")
    (block,) = blocks("yaml")
    path.write_text(text.replace("    tables:\n", "    tables:\n" + block, 1), encoding="utf-8")
    table = contracts.read(domains).tables["store_visits"]
    assert table.domain == "strategy"
    assert table.by_name["stay"].format == "duration"
    assert table.by_name["visitor"].personal == "email"


def test_the_example_of_a_rule_can_run() -> None:
    from loompin.rules import platform_rules, read_expectations

    line = "customer,health_score,range,"
    assert f'    {line}"{{""min"": 0, ""max"": 100}}"' in README
    row = (*line.split(",")[:3], '{"min": 0, "max": 100}')
    (rule,) = platform_rules([row], contracts.load(), {}, read_expectations())
    assert rule.broken is None
    assert rule.rule_id == "customers.health_score_range"


def test_the_example_queries_run(night_home: Path) -> None:
    queries = [*blocks("sql"), *re.findall(r'loompin sql "(select [^"]+)"', README)]
    assert len(queries) == 2
    with contextlib.closing(
        duckdb.connect(str(night_home / "published" / "analytics.duckdb"), read_only=True)
    ) as connection:
        for query in queries:
            assert connection.execute(query).fetchall()


def test_the_files_of_the_page_on_reviews_are_good_ones(tmp_path: Path) -> None:
    files = re.findall(r"^`(\w+\.csv)`:(?:[^\n]+\n)+\n((?: {4}[^\n]*\n)+)", REVIEWS, re.MULTILINE)
    assert [name for name, _ in files] == [
        "tenants.csv", "surveys.csv", "survey_responses.csv", "taxonomy_topics.csv", "topic_aliases.csv",
    ]  # fmt: skip
    source = tmp_path / "reviews"
    source.mkdir()
    for name, lines in files:
        (source / name).write_text(re.sub(r"^ {4}", "", lines, flags=re.MULTILINE), encoding="utf-8")
    done = loompin_process(tmp_path / "home", "check", source=source)
    assert done.returncode == 0, done.stderr
    assert "8 accepted, 0 quarantined" in done.stdout
    assert "Rules that did not pass" not in done.stdout


def test_the_queries_of_the_page_on_reviews_run(night_home: Path) -> None:
    queries = blocks("sql", REVIEWS)
    assert len(queries) == 4
    published = night_home / "published" / "analytics.duckdb"
    with contextlib.closing(duckdb.connect(str(published), read_only=True)) as connection:
        for query in queries[:2]:
            assert connection.execute(query).fetchall()
        for query in queries[2:]:
            connection.execute(query)
