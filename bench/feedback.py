"""Feedback for the benchmarks of Voice of Customer: surveys, responses, topics that they touch, signals, segments.

Everything follows from a row's number, so that the same sizes make the same rows. Responses and signals are spread
evenly over their days; a response touches two topics on average, which move its scores.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

from loompin import contracts as contracts_module
from loompin.settings import DBT_PROJECT
from loompin.sqltext import literal

TENANTS, SURVEYS, TOPICS, SEGMENTS = 50, 200, 12, 40
_PER_MILLE = (280, 240, 220, 200, 180, 170, 160, 150, 130, 110, 90, 70)
_MEMBERS = 4
_FIRST_NAMES = ["Ada", "Alan", "Barbara", "Donald", "Edsger", "Frances", "Grace", "Ken", "Lynn", "Margaret", "Radia"]


@dataclass(frozen=True)
class Feedback:
    """What is made: `customers` are spread evenly over the tenants, `words` are what texts are made of.

    One response in `unscored` has a text and no scores of the platform, one signal in `summarized` has a text.
    """

    customers: int
    words: tuple[str, ...]
    unscored: int = 20
    summarized: int = 50

    def draw(self, number: str, salt: int | str, below: int) -> str:
        """SQL of a number from 0 that follows from a row's number."""
        return f"cast(hash({number}, cast({salt} as bigint)) % {below} as bigint)"

    def customer(self, number: str, tenant: str, salt: int) -> str:
        """SQL of a customer of a tenant."""
        return f"'cust_' || ({self.draw(number, salt, self.customers // TENANTS)} * {TENANTS} + {tenant})"

    def text(self, number: str, salt: int, words: int = 8) -> str:
        """SQL of a text of so many words to half as many more."""
        drawn = f"words[1 + cast(hash({number}, {salt}, k) % {len(self.words)} as bigint)]"
        length = f"{words} + {self.draw(number, salt + 1, words // 2 + 1)}"
        return f"array_to_string(list_transform(range({length}), lambda k: {drawn}), ' ') || '.'"

    def responses(self, first: int, rows: int, since: date, days: int) -> str:
        """SQL of survey responses, numbered from `first`, each received at once."""
        effects = " + ".join(
            f"case when {self.draw('i', 100 + topic, 1000)} < {chance}"
            f" then {(-1) ** topic * (topic + 1) / 40} else 0 end"
            for topic, chance in enumerate(_PER_MILLE)
        )
        return f"""
            with words as (select {_list(self.words)} as words), drawn as (
                select i, {self.draw("i", 1, SURVEYS)} as survey, {self.draw("i", 3, 1001)} / 1000.0 - 0.5 as noise,
                    {effects} as effect,
                    timestamp {literal(since.isoformat())} + to_seconds((i - {first}) * {days * 86_400} // {rows})
                        as submitted_at
                from range({first}, {first + rows}) as r (i)
            ), scored as (
                select *, i % {self.unscored} = 0 as is_unscored,
                    round(greatest(least(0.1 + effect + noise, 1), -1), 2) as score
                from drawn
            )
            select 'res_' || i as response_id, 'sur_' || survey as survey_id,
                'ten_' || (survey % {TENANTS}) as tenant_id,
                {self.customer("i", f"survey % {TENANTS}", 2)} as customer_id, submitted_at,
                submitted_at as received_at,
                case when i % 2 = 0 then 3 + cast(round(2 * score) as bigint) end as csat,
                cast(null as bigint) as nps_score,
                case when is_unscored then {self.text("i", 5)} end as text,
                case when not is_unscored then score end as sentiment_score,
                case when not is_unscored then round(greatest(score, 0), 2) end as joy,
                case when not is_unscored then round(greatest(-score, 0), 2) end as anger,
                case when not is_unscored then round(abs(noise) / 2, 2) end as fear
            from scored, words"""

    def topics(self, first: int, rows: int) -> str:
        """SQL of the topics that these responses touch."""
        chances = ", ".join(map(str, _PER_MILLE))
        return f"""
            select 'sur_' || {self.draw("i", 1, SURVEYS)} as survey_id, 'topic_' || t as topic_id,
                'res_' || i as response_id, 'Area ' || (t % 4) as category
            from range({first}, {first + rows}) as r (i), range({TOPICS}) as u (t)
            where {self.draw("i", "100 + t", 1000)} < [{chances}][t + 1]"""

    def signals(self, first: int, rows: int, since: date, days: int) -> str:
        """SQL of feedback signals, numbered from `first`, each received at once."""
        return f"""
            with words as (select {_list(self.words)} as words), drawn as (
                select i, {self.draw("i", 7, TENANTS)} as tenant,
                    timestamp {literal(since.isoformat())} + to_seconds((i - {first}) * {days * 86_400} // {rows})
                        as occurred_at
                from range({first}, {first + rows}) as r (i)
            )
            select 'evt_' || i as id, 'ten_' || tenant as tenant_id, 'support_ticket' as event_type,
                ({self.draw("i", 8, 201)} - 100) / 100.0 as sentiment_score,
                case when i % {self.summarized} = 0 then {self.text("i", 9)} end as summary,
                {self.customer("i", "tenant", 10)} as customer_id, occurred_at, occurred_at as received_at,
                cast(null as varchar) as product_id
            from drawn, words"""

    def write_source(self, folder: Path, aliases: int = 100) -> None:
        """Write the files of the tables that stand still: tenants, customers, surveys, topics, aliases, segments.

        Phrases are made of the words of texts. So are the first aliases of one word; of more than 500 aliases the
        others are names that no text holds, as most of a large catalogue.
        """
        folder.mkdir(parents=True, exist_ok=True)
        numbers = f"range({self.customers})"
        phrase = self.text("n", 11, 2).removesuffix(" || '.'")
        word = f"words[1 + {self.draw('n', 12, len(self.words))}]"
        tables = {
            "tenants": f"""select 'ten_' || n as id, 'Tenant ' || n as name, 'Team' as plan, 'active' as status,
                'eu' as region, 'tenant_' || n as slug from range({TENANTS}) as t (n)""",
            "customers": f"""select 'cust_' || n as id, 'ten_' || (n % {TENANTS}) as tenant_id,
                'c' || n || '@mail.example' as email,
                {_list(_FIRST_NAMES)}[1 + n % {len(_FIRST_NAMES)}] || ' Family' || (n // {len(_FIRST_NAMES)}) as name,
                null as health_score from {numbers} as t (n)""",
            "surveys": f"""select 'sur_' || n as id, 'ten_' || (n % {TENANTS}) as tenant_id, 'Survey ' || n as title,
                'active' as status from range({SURVEYS}) as t (n)""",
            "taxonomy_topics": f"""select 'topic_' || n as id, 'Topic ' || n as label, null as parent_id, 1.0 as weight
                from range({TOPICS}) as t (n)""",
            "topic_aliases": f"""with words as (select {_list(self.words)} as words)
                select distinct 'topic_' || (n % {TOPICS}) as topic_id,
                    case when n % 4 <> 0 then {phrase} when n < 500 then {word} else 'sku' || n end as alias,
                    '2024-01-01' as valid_from, null as valid_to from range({aliases}) as t (n), words""",
            "segments": f"""select 'seg_' || n as id, 'Segment ' || n as name, 100 as size, 'none' as primary_trait
                from range({SEGMENTS}) as t (n)""",
            "segment_members": f"""select 'seg_' || (n // {_MEMBERS} % {SEGMENTS}) as segment_id,
                'cust_' || n as customer_id, '2024-01-01' as valid_from, null as valid_to
                from {numbers} as t (n) where n % {_MEMBERS} = 0""",
        }  # fmt: skip
        declared = contracts_module.load().tables
        with contextlib.closing(duckdb.connect()) as connection:
            for table, query in tables.items():
                found = [row[0] for row in connection.execute(f"describe {query}").fetchall()]
                lacking = [c.name for c in declared[table].file_columns if c.name not in found]
                filled = "".join(f", null as {column}" for column in lacking)
                to = f"{literal(str(folder / f'{table}.csv'))} (format csv, header)"
                connection.execute(f"copy (select *{filled} from ({query})) to {to}")


def vocabulary() -> tuple[str, ...]:
    """Words that texts are made of: one in eight is in VADER's lexicon, the others the emotion model knows."""
    lexicon = sorted(word for word in SentimentIntensityAnalyzer().lexicon if word.isalpha() and word.isascii())
    with (DBT_PROJECT / "seeds" / "emotion_weights.csv").open(encoding="utf-8") as lines:
        terms = sorted({line.split(",")[0] for line in lines} - {"term"})
    plain = [term for term in terms if term.isalpha() and term.isascii() and len(term) > 1 and term not in lexicon]
    chosen = random.Random(7)
    return tuple(plain + chosen.sample(lexicon, len(plain) // 7))


def _list(words: tuple[str, ...] | list[str]) -> str:
    return f"[{', '.join(literal(word) for word in words)}]"
