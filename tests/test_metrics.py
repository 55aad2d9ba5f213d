"""Metrics: what `mf` says of a published file is what the marts say, whatever a metric is grouped by.

Each question is a real process on the file that a real night published. No process may open a connection.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import REPO, loompin_process

ROW = tuple[Any, ...]
OFFLINE = """
import os, socket

def refused(self, address, *rest):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        open(os.environ["CALLS"], "a").write(f"{address}\\n")
        raise OSError("no network in tests")
    return connect(self, address, *rest)

connect, socket.socket.connect = socket.socket.connect, refused
"""


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whom the processes of a test call, one a line of a file that nobody may make."""
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "sitecustomize.py").write_text(OFFLINE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "offline"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def asked(home: Path, folder: Path, metrics: str, group_by: str = "") -> list[ROW]:
    """The rows of `query`, in the order of the metrics after what they are grouped by; sorted."""
    file = folder / "answer.csv"
    grouped = ["--group-by", group_by] if group_by else []
    ended = loompin_process(
        home, "metrics", "query", "--quiet", "--csv", str(file), "--metrics", metrics, *grouped
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not (folder / "calls").exists()
    with file.open(encoding="utf-8", newline="") as stream:
        names, *rows = csv.reader(stream)
    wanted = [name for name in [*group_by.split(","), *metrics.split(",")] if name]
    assert sorted(names) == sorted(wanted)
    return ordered([[_value(name, row[names.index(name)]) for name in wanted] for row in rows])


def _value(name: str, text: str) -> Any:
    if text == "":
        return None
    if name.startswith("metric_time"):
        return text[:10]
    return float(text) if re.fullmatch(r"-?[\d.]+(E[-+]?\d+)?", text) else text


def ordered(rows: Sequence[Sequence[Any]]) -> list[ROW]:
    return sorted((tuple(row) for row in rows), key=lambda row: [str(cell) for cell in row])


def marts(home: Path, sql: str) -> list[ROW]:
    with duckdb.connect(str(home / "published" / "analytics.duckdb"), read_only=True) as connection:
        rows = connection.execute(sql).fetchall()
    return ordered([[cell if cell is None or isinstance(cell, str) else float(cell) for cell in row] for row in rows])


def same(found: list[ROW], wanted: list[ROW]) -> None:
    assert wanted
    assert found == [
        tuple(pytest.approx(cell, rel=1e-9, abs=1e-9) if isinstance(cell, float) else cell for cell in row)
        for row in wanted
    ]


def alone(home: Path, folder: Path) -> Path:
    """A home with what was published and nothing else."""
    shutil.copytree(home / "published", folder / "home" / "published")
    return folder / "home"


def test_the_metrics_are_valid_on_the_published_file(night_home: Path, offline: Path) -> None:
    ended = loompin_process(night_home, "metrics", "validate-configs", "--show-all")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = re.findall(r"ERRORS: (\d+), FUTURE_ERRORS: (\d+), WARNINGS: (\d+)", ended.stdout)
    assert told == [("0", "0", "0")] * 6
    assert not offline.exists()


def test_figures_by_tenant_and_month_are_those_of_the_marts(night_home: Path, tmp_path: Path) -> None:
    found = asked(
        night_home, tmp_path,
        "csat,csat_standard_error,net_sentiment,response_volume,usage_cost,revenue,margin,net_sentiment_low,"
        "net_sentiment_high", "metric_time__month,tenant",
    )  # fmt: skip
    months = """
        with said as (
            select date_trunc('month', date) as month, tenant_id, sum(total_responses) as n
            from survey_response_trends group by all
        ), felt as (
            select date_trunc('month', touched.date) as month, touched.tenant_id, avg(touched.csat) as csat,
                sqrt(var_samp(touched.csat) / count(touched.csat)) as error,
                100.0 * (count(*) filter (where sentiment.overall_score >= 0.05)
                    - count(*) filter (where sentiment.overall_score <= -0.05)) / count(sentiment.overall_score) as net
            from survey_sentiment as sentiment
            join (select distinct response_id, tenant_id, date, csat from response_topics) as touched
                on touched.response_id = sentiment.response_id
            group by all
        ), used as (
            select date_trunc('month', usage_date) as month, tenant_id, sum(cost) as cost
            from tenant_usage_daily group by all
        ), billed as (
            select service_month as month, tenant_id, sum(usage_price + minimum_price + plan_price) as revenue,
                sum(margin) as margin
            from billing_margins group by all
        )
        select strftime(month, '%Y-%m-%d'), tenant_id, csat, error, net, n, cost, revenue, margin
        from said full join felt using (month, tenant_id) full join used using (month, tenant_id)
        full join billed using (month, tenant_id)
    """
    same(ordered([row[:9] for row in found]), marts(night_home, months))
    scored = [row for row in found if row[4] is not None]
    assert scored
    assert all(-100 <= row[9] <= row[4] <= row[10] <= 100 for row in scored)


def test_nps_is_that_of_the_summary(night_home: Path, tmp_path: Path) -> None:
    found = asked(
        night_home, tmp_path, "nps,nps_low,nps_high,nps_responses,promoters,detractors",
        "metric_time__month,tenant,nps_answer__channel",
    )  # fmt: skip
    summary = """
        select strftime(month, '%Y-%m-%d'), tenant_id, channel, nps, nps_low, nps_high, n_responses, promoters,
            detractors
        from nps_summary
    """
    same(found, marts(night_home, summary))


def test_figures_by_topic_are_those_of_the_drivers(night_home: Path, tmp_path: Path) -> None:
    """A response that touches several topics counts in each of them."""
    found = asked(
        night_home, tmp_path, "scored_responses,rated_responses,csat,response_volume,net_sentiment",
        "tenant,survey,topic",
    )  # fmt: skip
    same(
        [(*row[:4],) for row in found if row[2] is not None],
        marts(night_home, "select tenant_id, survey_id, topic_id, n_topic from survey_drivers"),
    )
    touched = """
        select responses.tenant_id, topics.survey_id, topics.topic_id, count(overall_score), count(csat), avg(csat),
            count(*), 100.0 * avg(case when overall_score >= 0.05 then 1 when overall_score <= -0.05 then -1
                when overall_score is not null then 0 end)
        from (
            select survey_id, topic_id, response_id from survey_topics
            union
            select answered.survey_id, found.topic_id, found.entity_id
            from topic_assignments as found
            join response_topics as answered on answered.response_id = found.entity_id
            where found.entity_type = 'survey_response'
                and answered.survey_id not in (select survey_id from survey_topics)
        ) as topics
        join (select distinct response_id, tenant_id, csat, overall_score from response_topics) as responses
            using (response_id)
        group by all
    """
    same([row for row in found if row[2] is not None], marts(night_home, touched))
    rated = marts(
        night_home,
        "select tenant_id, id, n_topic from experience_drivers where tenant_id is not null order by all",
    )
    by_topic: dict[tuple[Any, Any], float] = {}
    for tenant, _survey, topic, _scored, n_rated, *_rest in found:
        by_topic[tenant, topic] = by_topic.get((tenant, topic), 0.0) + n_rated
    assert rated
    assert {(tenant, topic): n for tenant, topic, n in rated}.items() <= by_topic.items()


def test_figures_by_day_are_those_of_the_marts(night_home: Path, tmp_path: Path) -> None:
    found = asked(
        night_home, tmp_path, "deflection,deflection_low,deflection_high,conversations,response_volume,usage_cost",
        "metric_time__day",
    )  # fmt: skip
    days = """
        with said as (select date, sum(total_responses) as n from survey_response_trends group by all),
        used as (select usage_date as date, sum(cost) as cost from tenant_usage_daily group by all)
        select strftime(date, '%Y-%m-%d'), deflection_rate, deflection_low, deflection_high, conversations, n, cost
        from messaging_metrics full join said using (date) full join used using (date)
    """
    same(found, marts(night_home, days))


def test_currencies_are_never_added(night_home: Path, tmp_path: Path) -> None:
    """On the published file alone, which is not touched: no warehouse, no record, no key."""
    home = alone(night_home, tmp_path)
    file = home / "published" / "analytics.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("update invoice_lines set currency = 'EUR' where tenant_slug = 'global_tech'")
        connection.execute("insert into invoice_lines by name (select 'x' as line_id, 'credit' as line_type,"
                           " 5 as amount, 'EUR' as currency, 'note' as item_key)")  # fmt: skip
        connection.execute("insert into invoice_lines by name (select 'y' as line_id, 'usage' as line_type,"
                           " 7 as amount, 'JPY' as currency, 'plan:Pro' as item_key)")  # fmt: skip
    before = hashlib.sha256(file.read_bytes()).hexdigest(), sorted(home.rglob("*"))
    found = asked(home, tmp_path, "revenue,first_currency,last_currency", "item")
    charged = """
        select item_key, case when min(currency) = max(currency)
            then sum(case when line_type <> 'credit' then amount end) end, min(currency), max(currency)
        from invoice_lines group by item_key
    """
    same(found, marts(home, charged))
    assert {revenue is None for _item, revenue, low, high in found if low != high} == {True}
    assert {revenue is None for item, revenue, low, high in found if low == high and item != "note"} == {False}
    assert (hashlib.sha256(file.read_bytes()).hexdigest(), sorted(home.rglob("*"))) == before


def test_a_wrong_question_ends_with_2_and_says_what_there_is(night_home: Path, offline: Path) -> None:
    # What is billed is billed by month of service.
    ended = loompin_process(
        night_home, "metrics", "query", "--metrics", "margin,net_promoter", "--group-by", "metric_time__day"
    )
    assert ended.returncode == 2
    assert "does not exactly match any known metrics" in ended.stderr
    assert "promoters" in ended.stderr
    assert not offline.exists()


def test_nothing_published_says_what_to_do(night_home: Path, tmp_path: Path) -> None:
    ended = loompin_process(tmp_path / "none", "metrics", "query", "--metrics", "nps")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "no night has been published yet" in ended.stderr
    assert "loompin nightly" in ended.stderr
    home = alone(night_home, tmp_path)
    (home / "published" / "semantic_manifest.json").unlink()
    ended = loompin_process(home, "metrics", "query", "--metrics", "nps")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "came without metrics" in ended.stderr


def test_the_example_of_the_readme_shows_what_comes_out(night_home: Path) -> None:
    text = (REPO / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```console\n\$ \.venv/bin/loompin (metrics .*?[^\\])\n(.*?)```", text, re.DOTALL)
    assert block is not None
    ended = loompin_process(night_home, *block[1].replace("\\\n", " ").split())
    assert [line.rstrip() for line in ended.stdout.splitlines()] == block[2].splitlines()


def test_the_page_lists_every_metric_once(night_home: Path) -> None:
    manifest = json.loads((night_home / "published" / "semantic_manifest.json").read_text(encoding="utf-8"))
    _ways_to_ask, page = (REPO / "docs" / "metrics.md").read_text(encoding="utf-8").split("\n## Survey responses\n")
    listed = re.findall(r"^\| `([a-z0-9_]+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(metric["name"] for metric in manifest["metrics"])
    assert all(metric["description"] for metric in manifest["metrics"])
    assert (night_home / "published" / "semantic_manifest.json").stat().st_mode & 0o777 == 0o644
