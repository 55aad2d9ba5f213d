"""Voice of Customer at volume: beside a hand-written script, texts beside VADER's own loop, a longer history.

Sizes by environment, so that a small run tests the benchmark itself:

    LOOMPIN_BENCH_RESPONSES         survey responses of the year that is derived; two topics each on average
    LOOMPIN_BENCH_SIGNALS           feedback signals of that year
    LOOMPIN_BENCH_TEXTS             texts that are scored, all different
    LOOMPIN_BENCH_ALIAS_TEXTS       texts in which aliases are looked for
    LOOMPIN_BENCH_ALIASES           how many aliases
    LOOMPIN_BENCH_DAY_RESPONSES     responses a day of the history; five times as many signals, one in five with a text
    LOOMPIN_BENCH_VOICE             the parts to run: volume,texts,aliases,history

What the first ratio counts on our side: the models from accepted rows to survey trends, drivers of sentiment and of
CSAT with their trends and history, importance, scores of responses, and segments. What it does not count: validation
and everything that reads texts (redaction, words, scores, topics in texts), which SQL alone cannot do; their seconds
stand beside the ratio. The script makes the same figures from the same columns of the same files, in DOUBLE; it leaves
out intervals, trend tests, jackknifes and shares, but not the sums of products that these come from.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

from bench import memory, usage
from bench.billing import night_alone, process
from bench.feedback import Feedback, vocabulary
from loompin import landing
from loompin.record import Record
from loompin.sentiment import Scorer
from loompin.settings import Settings
from loompin.sqltext import literal

NIGHT = date(2026, 2, 9)
YEAR = 365
MEMORY = "6GB"
CUSTOMERS = 200_000

# What reads texts, and what only sums up.
_TEXTS = ("+int_text_scores", "+topic_mentions")
_SUMS = (
    "+survey_response_trends", "+survey_drivers", "+driver_importance", "+experience_drivers", "+survey_sentiment",
    "+segment_perception",
)  # fmt: skip

_BY_HAND = """
    create table scored as
    select response_id, survey_id, tenant_id, customer_id, cast(submitted_at as date) as day, csat,
        coalesce(sentiment_score, t.overall_score) as score, coalesce(r.joy, t.joy) as joy,
        coalesce(r.anger, t.anger) as anger, coalesce(r.fear, t.fear) as fear
    from read_parquet({raw}/survey_responses/*.parquet') as r left join text_scores as t using (response_id);

    create table trends as
    select tenant_id, survey_id, day, count(*) as n, avg(score) as mean, stddev(score) as spread
    from scored group by all;

    create table touched as
    select r.tenant_id, r.survey_id, t.topic_id, t.category, r.response_id, r.day, r.score, r.csat
    from read_parquet({raw}/survey_topics/*.parquet') as t join scored as r using (survey_id, response_id);

    create table drivers as
    with everyone as (
        select tenant_id, survey_id, count(score) as n, sum(score) as s, stddev(score) as spread
        from scored group by all
    ), topics as (
        select tenant_id, survey_id, topic_id, mode(category) as category, count(score) as n, sum(score) as s,
            stddev(score) as spread
        from touched group by all
    )
    select t.*, w.s / w.n - (w.s - t.s) / nullif(w.n - t.n, 0) as impact
    from topics as t join everyone as w using (tenant_id, survey_id);

    create table weekly as
    with everyone as (
        select tenant_id, survey_id, date_trunc('week', day) as week, count(score) as n, sum(score) as s
        from scored group by all
    ), topics as (
        select tenant_id, survey_id, topic_id, date_trunc('week', day) as week, count(score) as n, sum(score) as s
        from touched group by all
    )
    select t.*, w.s / w.n - (w.s - t.s) / nullif(w.n - t.n, 0) as impact
    from topics as t join everyone as w using (tenant_id, survey_id, week);

    create table together as
    select tenant_id, survey_id, a.topic_id as one, b.topic_id as other, count(*) as n, sum(a.score) as s
    from touched as a join touched as b using (tenant_id, survey_id, response_id)
    where a.topic_id <= b.topic_id group by all;

    create table csat_weekly as
    with everyone as (
        select tenant_id, date_trunc('week', day) as week, count(csat) as n, sum(csat) as s from scored group by all
    ), topics as (
        select tenant_id, topic_id, date_trunc('week', day) as week, count(csat) as n, sum(csat) as s
        from touched group by all
    )
    select t.*, w.s / w.n - (w.s - t.s) / nullif(w.n - t.n, 0) as impact
    from topics as t join everyone as w using (tenant_id, week);

    create table csat_history as
    with everyone as (
        select tenant_id, date_trunc('month', day) as month, count(csat) as n, sum(csat) as s, sum(csat * csat) as q
        from scored group by all
    ), topics as (
        select tenant_id, topic_id, mode(category) as category, date_trunc('month', day) as month, count(csat) as n,
            sum(csat) as s, sum(csat * csat) as q
        from touched group by all
    ), all_so_far as (
        select tenant_id, month, sum(n) over w as n, sum(s) over w as s, sum(q) over w as q from everyone
        window w as (partition by tenant_id order by month)
    ), so_far as (
        select tenant_id, topic_id, month, sum(n) over w as n, sum(s) over w as s, sum(q) over w as q from topics
        window w as (partition by tenant_id, topic_id order by month)
    )
    select t.*, w.s / w.n - (w.s - t.s) / nullif(w.n - t.n, 0) as impact
    from so_far as t join all_so_far as w using (tenant_id, month);

    create table segments as
    with feedback as (
        select customer_id, day, score, joy, anger, fear from scored
        union all
        select customer_id, cast(occurred_at as date), sentiment_score, null, null, null
        from read_parquet({raw}/customer_events/*.parquet')
    )
    select m.segment_id, count(*) as n, count(distinct f.customer_id) as customers,
        100.0 * (count(*) filter (score >= 0.05) - count(*) filter (score <= -0.05)) / count(*) as net,
        avg(joy) as joy, stddev(joy) as joy_spread, avg(anger) as anger, stddev(anger) as anger_spread,
        avg(fear) as fear, stddev(fear) as fear_spread
    from feedback as f
    join read_csv({source}/segment_members.csv', types = {{'valid_from': 'date', 'valid_to': 'date'}}) as m
        on f.customer_id = m.customer_id and f.day >= m.valid_from and (m.valid_to is null or f.day < m.valid_to)
    where score is not null group by all
"""

# Each is empty if the script and the models agree.
_DIFFERENCES = {
    "survey_response_trends": """
        select 1 from trends as t full join w.main.survey_response_trends as o
            on t.tenant_id = o.tenant_id and t.survey_id = o.survey_id and t.day = o.date
        where t.n is distinct from o.total_responses or abs(t.mean - o.avg_sentiment) > 1e-9
            or abs(t.spread / sqrt(o.n_scored) - o.sentiment_standard_error) > 1e-7""",
    "survey_drivers": """
        select 1 from drivers as t full join w.main.survey_drivers as o using (tenant_id, survey_id, topic_id)
        where t.n is distinct from o.n_topic or abs(t.impact - o.impact_score) > 1e-9
            or t.category is distinct from o.category""",
    "weeks of topics": """
        select 1 from weekly as t join w.intermediate.int_survey_topic_weeks as o
            on t.tenant_id = o.tenant_id and t.survey_id = o.survey_id and t.topic_id = o.topic_id
            and t.week = o.week_start
        where t.n <> o.n_topic or abs(t.impact - o.impact) > 1e-9""",
    "driver_history": """
        select 1 from csat_history as t join w.main.driver_history as o
            on t.tenant_id = o.tenant_id and t.topic_id = o.id and t.month = o.month
        where t.n <> o.n_topic or abs(t.impact - o.impact_score) > 1e-9""",
    "segment_perception": """
        select 1 from segments as t full join w.main.segment_perception as o using (segment_id)
        where t.n is distinct from o.n_feedback or t.customers is distinct from o.n_customers
            or abs(t.net - o.net_sentiment) > 1e-9 or abs(t.joy - o.joy) > 1e-9""",
}


def run(report: Callable[..., None]) -> None:
    """Measure and report the ratios of the parts that are asked for."""
    parts = os.environ.get("LOOMPIN_BENCH_VOICE", "volume,texts,aliases,history").split(",")
    if "volume" in parts:
        _volume(report)
    if "texts" in parts:
        _texts(report)
    if "aliases" in parts:
        _aliases(report)
    if "history" in parts:
        _history(report)


# -- a year at once --------------------------------------------------------------------------------------------------


def _volume(report: Callable[..., None]) -> None:
    responses, signals = _size("RESPONSES", 10_000_000), _size("SIGNALS", 50_000_000)
    with _home() as settings:
        _tell(f"writing {responses:,} responses and {signals:,} signals")
        feedback = Feedback(CUSTOMERS, vocabulary())
        feedback.write_source(settings.source)
        known = usage.land_source(settings, NIGHT)
        record = Record(settings.raw)
        months = 12
        first = NIGHT - timedelta(days=YEAR - 1)
        starts = [first + timedelta(days=YEAR * month // months) for month in range(months + 1)]
        for month, (since, until) in enumerate(itertools.pairwise(starts)):
            days, file = (until - since).days, f"{since:%Y-%m}.parquet"
            some, more = responses // months, signals // months
            queries = {
                "survey_responses": feedback.responses(some * month, some, since, days),
                "survey_topics": feedback.topics(some * month, some),
                "customer_events": feedback.signals(more * month, more, since, days),
            }
            known += [
                usage.land_events(record, query, f"{table}/{file}", NIGHT, None, table)
                for table, query in queries.items()
            ]
        usage.complete(settings, NIGHT, known)
        _tell("the models")
        derived = _derived(settings, [_build(_TEXTS), f"run --select {' '.join(_SUMS)} --exclude {' '.join(_TEXTS)}"])
        _tell(json.dumps(derived))
        _tell("the hand-written script")
        by_hand = _script(settings)
        texts, sums = derived["seconds"]
        report(
            f"trends, drivers, scores and segments of {responses:,} responses and {signals:,} signals", sums,
            "DuckDB script of the same aggregates, in DOUBLE", by_hand, 3,
            f"{derived['peak_bytes'] / 1e9:.1f} GB at most; not counted: validation {derived['validated']:.0f} s,"
            f" texts {texts:.0f} s",
        )  # fmt: skip
        memory.check("deriving", derived["peak_bytes"])


def _script(settings: Settings) -> float:
    database = settings.home / "script.duckdb"
    # Paths are opened by a quote that the script closes.
    raw, source = (literal(str(folder)).removesuffix("'") for folder in (settings.raw, settings.source))
    with contextlib.closing(landing.connect(MEMORY, settings.scratch, database)) as connection:
        connection.execute(f"attach {literal(str(settings.warehouse))} as w (read_only)")
        # What the texts say is given: it is not counted on our side either.
        connection.execute(
            "create table text_scores as select t.response_id, s.* from w.intermediate.int_sentiment_texts as t"
            " join w.intermediate.int_text_scores as s using (scored_text)"
        )
        started = time.perf_counter()
        connection.execute(_BY_HAND.format(raw=raw, source=source))
        seconds = time.perf_counter() - started
        for table, differences in _DIFFERENCES.items():
            if connection.execute(f"{differences} limit 1").fetchone():
                raise SystemExit(f"the script and the models do not agree on {table}")
    return seconds


# -- texts -----------------------------------------------------------------------------------------------------------


def _texts(report: Callable[..., None]) -> None:
    count = _size("TEXTS", 200_000)
    _tell(f"{count:,} texts")
    with duckdb.connect() as connection:
        feedback = Feedback(CUSTOMERS, vocabulary())
        query = f"select text from ({feedback.responses(0, count * 20, NIGHT, 1)}) where text is not null"
        texts = [text for (text,) in connection.execute(query).fetchall()]
    plain = SentimentIntensityAnalyzer()
    scorer = Scorer()
    try:
        scorer(texts[:2_000])  # its processes start once, whatever the number of texts
        started = time.perf_counter()
        ours = scorer(texts)
        seconds = time.perf_counter() - started
    finally:
        scorer.close()
    started = time.perf_counter()
    theirs = [plain.polarity_scores(text)["compound"] for text in texts]
    loop = time.perf_counter() - started
    if [score or 0.0 for score in ours] != theirs:
        raise SystemExit("our scores are not VADER's")
    report(
        f"VADER scores of {len(texts):,} texts, all different", seconds,
        "a loop of vaderSentiment in one process", loop, 1 / 1.8,
        f"{len(texts) / seconds:,.0f} texts a second and {len(texts) / loop:,.0f}; {loop / seconds:.1f} times as many",
    )  # fmt: skip


def _aliases(report: Callable[..., None]) -> None:
    texts, many = _size("ALIAS_TEXTS", 1_000_000), _size("ALIASES", 50_000)
    found = {aliases: _matching(texts, aliases) for aliases in (many // 100, many)}
    few, all_ = found[many // 100], found[many]
    report(
        f"{many:,} aliases in {texts:,} texts", sum(all_.values()),
        f"{many // 100:,} aliases in the same texts", sum(few.values()), 3,
        ", ".join(f"{model} {seconds:.1f} s" for model, seconds in all_.items()),
    )  # fmt: skip


def _matching(texts: int, aliases: int) -> dict[str, float]:
    """Seconds of each model from texts to topics."""
    models = ("int_texts", "int_distinct_text_words", "int_alias_words", "int_alias_matches", "int_topic_assignments",
              "topic_mentions")  # fmt: skip
    with _home() as settings:
        _tell(f"{aliases:,} aliases")
        feedback = Feedback(CUSTOMERS, vocabulary())
        feedback.write_source(settings.source, aliases)
        known = usage.land_source(settings, NIGHT)
        query = f"select * from ({feedback.signals(0, texts * 50, NIGHT, 1)}) where summary is not null"
        known.append(usage.land_events(Record(settings.raw), query, "signals.parquet", NIGHT, None, "customer_events"))
        usage.complete(settings, NIGHT, known)
        derived = _derived(settings, [_build(_TEXTS[1:]) + " --threads 1"])
        return {model: derived["models"][0][model] for model in models}


# -- history ---------------------------------------------------------------------------------------------------------


def _history(report: Callable[..., None]) -> None:
    responses = _size("DAY_RESPONSES", 1_000)
    seconds = {}
    for days in (30, YEAR):
        with _home() as settings:
            _tell(f"{days} days of {responses:,} responses and {5 * responses:,} signals")
            seconds[days] = _one_more_day(settings, days, responses)
    report(
        f"one more night ({responses:,} responses, {5 * responses:,} signals) with a year of feedback", seconds[YEAR],
        "the same with a month of it", seconds[30], 1.3,
    )  # fmt: skip


def _one_more_day(settings: Settings, days: int, responses: int) -> float:
    """The seconds of a whole night after a night that knew all before it."""
    feedback = Feedback(CUSTOMERS // 10, vocabulary(), summarized=5)
    feedback.write_source(settings.source)
    before = NIGHT - timedelta(days=2)
    known = usage.land_source(settings, before)
    record = Record(settings.raw)
    # A file a month, then one a day.
    daily = NIGHT.replace(day=1)
    day, number = NIGHT - timedelta(days=days - 1), 0
    while day <= NIGHT:
        until = (day.replace(day=1) + timedelta(days=31)).replace(day=1) if day < daily else day + timedelta(days=1)
        length = (until - day).days
        rows = length * responses
        queries = {
            "survey_responses": feedback.responses(number, rows, day, length),
            "survey_topics": feedback.topics(number, rows),
            "customer_events": feedback.signals(5 * number, 5 * rows, day, length),
        }
        for table, query in queries.items():
            file = f"{table}/{day}.parquet"
            if day <= before:
                known.append(usage.land_events(record, query, file, before, None, table))
            else:
                usage.write_events(settings.source / file, query)
        number, day = number + rows, until
    usage.complete(settings, before, known)
    night_alone(settings, before + timedelta(days=1))
    return night_alone(settings, NIGHT)


# -- small helpers ---------------------------------------------------------------------------------------------------


def _build(models: tuple[str, ...]) -> str:
    """The models with their seeds, without tests."""
    return f"build --exclude-resource-type unit_test --exclude-resource-type test --select {' '.join(models)}"


def _derived(settings: Settings, steps: list[str]) -> dict[str, Any]:
    done = process([sys.executable, "-m", "bench.derive", str(settings.home), NIGHT.isoformat(), *steps], {})
    result: dict[str, Any] = json.loads(done.splitlines()[-1])
    return result


@contextlib.contextmanager
def _home() -> Iterator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="loompin-bench-"))
    settings = Settings(home=folder, source=folder / "source")
    settings.prepare()
    try:
        yield settings
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _size(name: str, default: int) -> int:
    return int(os.environ.get(f"LOOMPIN_BENCH_{name}", default))


def _tell(what: str) -> None:
    print(f"voice: {what}", file=sys.stderr, flush=True)
