"""Which records of a tenant are the same person: Fellegi-Sunter linkage by splink, and clusters of linked records.

What belongs here: how two records are compared, which are compared at all, and what follows from links. Which records
there are and what is published is said by the models; the model's probabilities are the seed `identity_weights`, made
by `tools/train_identity.py`. A pair's probability depends on the records of its tenant alone, and on no order.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from loompin import landing

# A value that more records of a tenant share tells nobody apart (info@, 1970-01-01, Test User).
MOST_SHARED = 100
# Other records of the same person that a record is expected to have; smaller tenants count as one of this many records.
OTHERS = 2
SMALLEST_TENANT = 1000
# Pairs that are less probable are not kept.
LEAST_PROBABLE = 0.5
# No probability is 1.
_MOST_PROBABLE = 0.999999

RECORD_FIELDS = pa.schema(
    {"number": pa.int64(), "tenant_id": pa.string(), "name": pa.string(), "email": pa.string(),
     "date_of_birth": pa.date32(), "city": pa.string()}
)  # fmt: skip
PAIR_FIELDS = pa.schema(
    {"left_number": pa.int64(), "right_number": pa.int64(), "name_level": pa.int64(), "email_level": pa.int64(),
     "date_of_birth_level": pa.int64(), "city_level": pa.int64(), "evidence": pa.float64(), "prior": pa.float64(),
     "probability": pa.float64()}
)  # fmt: skip


class Weight(NamedTuple):
    """One level of a comparison and how probable it is: for two records of one person (m), of two persons (u)."""

    comparison: str
    level: int
    m: float
    u: float


# ------------------------------------------------------------------------------------------------------- comparisons

_BOTH_FULL = "family_l is not null and family_r is not null"
_ONE_SAME = "(given_l = given_r or family_l = family_r or given_l = family_r or family_l = given_r)"


def _alike(left: str, right: str, least: float) -> str:
    return f"jaro_winkler_similarity({left}_latin_l, {right}_latin_r) >= {least}"


_ONE_SIMILAR = "(" + " or ".join(_alike(a, b, 0.88) for a in ("given", "family") for b in ("given", "family")) + ")"
_CLOSE_DOMAIN = "damerau_levenshtein(domain_l, domain_r) <= 3"
# ben.lee@ and chen.lee@ are as alike as Ben Lee and Chen Lee: that says nothing beyond the names, which say it already.
_DIFFERS_AS_NAMES = " or ".join(
    f"coalesce({part}_l <> {part}_r and contains(mailbox_l, {part}_l) and contains(mailbox_r, {part}_r), false)"
    for part in ("given", "family")
)

# The levels of each comparison from the best to "different", which is level 0; each counts where those before do not.
# Similarity works on bytes, so it is only asked of words in Latin letters (`_latin`): others are the same or not.
LEVELS: dict[str, tuple[tuple[str, str], ...]] = {
    "name": (
        ("same", (f"{_BOTH_FULL} and ((given_l = given_r and family_l = family_r)"
                  " or (given_l = family_r and family_l = given_r))")),
        ("similar", (f"{_BOTH_FULL} and (({_alike('given', 'given', 0.8)} and {_alike('family', 'family', 0.8)})"
                     f" or ({_alike('given', 'family', 0.8)} and {_alike('family', 'given', 0.8)}))")),
        ("one same, other missing", f"not ({_BOTH_FULL}) and {_ONE_SAME}"),
        ("one same, other different", _ONE_SAME),
        ("one similar, other missing", f"not ({_BOTH_FULL}) and {_ONE_SIMILAR}"),
        ("one similar, other different", _ONE_SIMILAR),
    ),
    "email": (
        ("same", "email_l = email_r"),
        ("same mailbox, similar domain", f"mailbox_l = mailbox_r and {_CLOSE_DOMAIN}"),
        ("similar", (f"least(length(mailbox_l), length(mailbox_r)) >= 6 and {_CLOSE_DOMAIN}"
                     f" and damerau_levenshtein(mailbox_l, mailbox_r) <= 2 and not ({_DIFFERS_AS_NAMES})")),
    ),
    "date_of_birth": (
        ("same", "date_of_birth_l = date_of_birth_r"),
        ("one digit differs", "damerau_levenshtein(born_l, born_r) <= 1"),
        ("two digits differ", "damerau_levenshtein(born_l, born_r) <= 2"),
        ("within a year", "abs(date_of_birth_l - date_of_birth_r) <= 366"),
    ),
    "city": (
        ("same", "city_l = city_r"),
        ("similar", ("least(length(city_latin_l), length(city_latin_r)) >= 5"
                     " and damerau_levenshtein(city_latin_l, city_latin_r) <= 2")),
    ),
}  # fmt: skip
# What is missing on either side says nothing.
MISSING = {"name": "given", "email": "email", "date_of_birth": "date_of_birth", "city": "city"}


def labels() -> dict[tuple[str, int], str]:
    """The words for each level of each comparison; the highest number is the best agreement, 0 is "different"."""
    found = {}
    for comparison, levels in LEVELS.items():
        for number, (label, _) in zip(range(len(levels), 0, -1), levels, strict=True):
            found[comparison, number] = label
        found[comparison, 0] = "different"
    return found


# Two records are compared if one of these is the same.
_BLOCKS = ("l.email = r.email", "l.mailbox = r.mailbox", "l.date_of_birth = r.date_of_birth",
           "l.given = r.given and l.family = r.family", "l.given = r.family and l.family = r.given",
           "l.rare_given = r.rare_given", "l.rare_family = r.rare_family", "l.rare_given = r.rare_family",
           "l.rare_family = r.rare_given")  # fmt: skip
BLOCKING_RULES = [f"l.tenant_id = r.tenant_id and {rule}" for rule in _BLOCKS]


def splink_settings(weights: Iterable[Weight], prior: float) -> dict[str, Any]:
    """The model in splink's terms.

    Args:
        weights: m and u of every level of every comparison.
        prior: the probability that two records of a tenant are the same person.

    Raises:
        ValueError: a level has no weight, or a weight is no probability.
    """
    known = {(weight.comparison, weight.level): weight for weight in weights}
    for place, label in labels().items():
        weight = known.get(place)
        if weight is None or not (0 < weight.m <= 1 and 0 < weight.u <= 1):
            raise ValueError(
                f"identity_weights: {place[0]}, level {place[1]} ({label}) needs m and u above 0, at most 1"
            )
    comparisons = []
    for comparison, levels in LEVELS.items():
        missing = f"{MISSING[comparison]}_l is null or {MISSING[comparison]}_r is null"
        made: list[dict[str, Any]] = [{"sql_condition": missing, "label_for_charts": "missing", "is_null_level": True}]
        conditions = [condition for _, condition in levels] + ["ELSE"]
        for number, condition in zip(range(len(levels), -1, -1), conditions, strict=True):
            weight = known[comparison, number]
            made.append({"sql_condition": condition, "label_for_charts": labels()[comparison, number],
                         "m_probability": weight.m, "u_probability": weight.u})  # fmt: skip
        comparisons.append({"output_column_name": comparison, "comparison_levels": made})
    return {
        "link_type": "dedupe_only", "unique_id_column_name": "number", "sql_dialect": "duckdb",
        "probability_two_random_records_match": prior, "comparisons": comparisons,
        "blocking_rules_to_generate_predictions": BLOCKING_RULES,
        # The first also keeps the levels.
        "retain_matching_columns": True, "retain_intermediate_calculation_columns": False,
    }  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- records

_CLEANED = r"""
    create table cleaned as
    with trimmed as (
        select number, tenant_id, date_of_birth, nullif(strip_accents(lower(trim(city))), '') as city,
            regexp_extract(lower(trim(email)), '^[^@\s]+@[^@\s]+$') as email,
            list_filter(
                regexp_split_to_array(strip_accents(lower(name)), '[^\p{L}\p{M}\p{N}]+'),
                lambda word: word <> '' and word not in ('mr', 'mrs', 'ms', 'miss', 'dr', 'prof')
            ) as words
        from given_records
        where tenant_id is not null
    ), split as (
        select number, tenant_id, date_of_birth, city, nullif(email, '') as email, words[1] as given,
            case when len(words) > 1 then words[-1] end as family
        from trimmed
    )
    select number, tenant_id, city,
        case when count(*) over (partition by tenant_id, email) <= $most then email end as email,
        case when count(*) over (partition by tenant_id, date_of_birth) <= $most then date_of_birth end
            as date_of_birth,
        case when count(*) over (partition by tenant_id, given, family) <= $most then given end as given,
        case when count(*) over (partition by tenant_id, given, family) <= $most then family end as family
    from split"""

_RECORDS = """
    create table records as
    with comparable as (
        select *, nullif(regexp_extract(email, '^[^@]+'), '') as mailbox,
            nullif(regexp_extract(email, '[^@]+$'), '') as domain, cast(date_of_birth as varchar) as born
        from cleaned
        where given is not null or email is not null or date_of_birth is not null
    ), words as (
        select tenant_id, word, count(*) as n
        from (select tenant_id, unnest([given, family]) as word from comparable) where word is not null group by all
    ), mailboxes as (
        select tenant_id, mailbox, count(*) as n from comparable where mailbox is not null group by all
    )
    select c.* exclude (mailbox), case when mailboxes.n <= $most then c.mailbox end as mailbox,
        case when g.n <= $most then c.given end as rare_given, case when f.n <= $most then c.family end as rare_family,
        case when length(c.given) = strlen(c.given) then c.given end as given_latin,
        case when length(c.family) = strlen(c.family) then c.family end as family_latin,
        case when length(c.city) = strlen(c.city) then c.city end as city_latin
    from comparable as c
    left join words as g on c.tenant_id = g.tenant_id and c.given = g.word
    left join words as f on c.tenant_id = f.tenant_id and c.family = f.word
    left join mailboxes on c.tenant_id = mailboxes.tenant_id and c.mailbox = mailboxes.mailbox"""

# The prior odds fall with the size of a tenant; those of sharing an address fall alike, so that they cancel out.
_SCORED = f"""
    with sizes as (select tenant_id, greatest(count(*), {SMALLEST_TENANT}) as n from records group by tenant_id),
    priors as (
        select records.number, {OTHERS} / n as others, {OTHERS} / {SMALLEST_TENANT} as others_at_least
        from records inner join sizes using (tenant_id)
    ), weighed as (
        select number_l as left_number, number_r as right_number,
            {", ".join(f"cast(nullif(gamma_{name}, -1) as bigint) as {name}_level" for name in LEVELS)},
            round(match_weight, 6) as evidence,
            round(log2(case when gamma_email = {len(LEVELS["email"])} then others_at_least / (1 - others_at_least)
                else others / (1 - others) end), 6) as prior
        from scored inner join priors on scored.number_l = priors.number
    )
    select *, round(least(1 / (1 + power(2, -(evidence + prior))), {_MOST_PROBABLE}), 6) as probability
    from weighed
    where 1 / (1 + power(2, -(evidence + prior))) >= {LEAST_PROBABLE}
    order by left_number, right_number"""


def prepared(records: pa.Table, temp: Path | None = None) -> Any:
    """A connection with the table `records`: cleaned, without values that too many share; ready to be compared."""
    connection = landing.connect("2GB", temp)
    connection.register("given_records", records.select(RECORD_FIELDS.names).cast(RECORD_FIELDS))
    connection.execute(_CLEANED, {"most": MOST_SHARED})
    connection.execute(_RECORDS, {"most": MOST_SHARED})
    return connection


def pairs(records: pa.Table, weights: Iterable[Weight], temp: Path | None = None) -> pa.Table:
    """The pairs of records that are the same person with a probability of at least 0.5, as `PAIR_FIELDS`.

    `evidence` is the sum of log2(m / u) over the comparisons, `prior` log2 of the odds before any comparison, both in
    bits; a level is NULL where a value is missing. Only records of one tenant are compared. Method: Fellegi and Sunter
    (1969), "A Theory for Record Linkage", by splink.

    Args:
        records: one row a record as `RECORD_FIELDS`, `number` telling them apart.
        weights: the model (`identity_weights`).
        temp: a private folder for what does not fit into memory.

    Raises:
        ValueError: a level of the model has no weight.
    """
    # Evidence alone, in bits: at even odds splink's match weight is nothing else.
    settings = splink_settings(weights, prior=0.5)
    with contextlib.closing(prepared(records, temp)) as connection:
        (most,) = connection.execute(
            "select max(n) from (select count(*) as n from records group by tenant_id) as sizes"
        ).fetchone()
        if (most or 0) < 2:
            return PAIR_FIELDS.empty_table()
        # Loaded here only: it takes a second, and most nights have nothing to link.
        from splink import DuckDBAPI, Linker

        with _quiet():
            linker = Linker("records", settings, DuckDBAPI(connection), set_up_basic_logging=False)
            share = OTHERS / SMALLEST_TENANT
            odds = LEAST_PROBABLE / (1 - LEAST_PROBABLE) * (1 - share) / share
            scored = linker.inference.predict(threshold_match_weight=math.log2(odds) - 1e-6)
        connection.execute(f"create view scored as select * from {scored.physical_name}")
        return connection.execute(_SCORED).to_arrow_table().cast(PAIR_FIELDS)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("splink")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


# ---------------------------------------------------------------------------------------------------------- clusters


class Member(NamedTuple):
    """A record in a cluster of several: which record stands for the cluster, and how surely they are the same."""

    number: int
    cluster: int
    size: int
    probability: float


def clusters(links: Iterable[tuple[int, int, float]]) -> list[Member]:
    """The connected components of links, each a pair of records and the probability that they are the same person.

    The lowest number stands for its component. A record's probability is that of the surest path of links to it, the
    product of the links' (they are taken as independent).
    """
    beside: dict[int, dict[int, float]] = defaultdict(dict)
    for left, right, probability in links:
        if left != right:
            for one, other in ((left, right), (right, left)):
                beside[one][other] = max(probability, beside[one].get(other, 0.0))
    found: list[Member] = []
    seen: set[int] = set()
    for first in sorted(beside):
        if first in seen:
            continue
        # Dijkstra's way of finding the shortest paths, with products for sums.
        reached: dict[int, float] = {}
        waiting = [(-1.0, first)]
        while waiting:
            negative, number = heapq.heappop(waiting)
            if number in reached:
                continue
            reached[number] = -negative
            for other, probability in beside[number].items():
                if other not in reached:
                    heapq.heappush(waiting, (negative * probability, other))
        seen.update(reached)
        found += (Member(number, first, len(reached), round(reached[number], 6)) for number in sorted(reached))
    return found
