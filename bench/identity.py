"""Linking records of people: how well, on records whose truth is known, and how long beside splink's own prediction.

Quality: pairwise precision and recall on fake_1000 (`tests/reference/entity_resolution`), of the links and of the
clusters that follow from them; below 0.98 and 0.80 the benchmark fails. Time: a million records of 5,000 tenants, from
raw values to clusters, beside splink's prediction alone on the cleaned records, with the same model. The ratio tells
what is added to it: cleaning, the rule about values that too many share, and the clusters.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from loompin import linkage
from loompin.linkage import Weight
from loompin.settings import DBT_PROJECT, PROJECT_ROOT

PEOPLE = PROJECT_ROOT / "tests" / "reference" / "entity_resolution" / "fake_1000.csv"
WEIGHTS = DBT_PROJECT / "seeds" / "identity_weights.csv"
THRESHOLD = 0.9
LEAST_PRECISION, LEAST_RECALL = 0.98, 0.80
RECORDS, TENANTS = 1_000_000, 5_000

Pair = tuple[int, int]


class Agreement(NamedTuple):
    """How pairs that were found agree with the true ones."""

    precision: float
    recall: float


def weights() -> list[Weight]:
    """The model as the night reads it."""
    with WEIGHTS.open(encoding="utf-8", newline="") as file:
        return [Weight(row["comparison"], int(row["level"]), float(row["m"]), float(row["u"]))
                for row in csv.DictReader(file)]  # fmt: skip


def people() -> tuple[pa.Table, dict[int, str]]:
    """The records of fake_1000 as they would be received, and the person that each is of."""
    with duckdb.connect() as connection:
        rows = connection.read_csv(str(PEOPLE), all_varchar=True)
        records = rows.select(
            "cast(unique_id as bigint) as number, 'tenant' as tenant_id,"
            " nullif(concat_ws(' ', first_name, surname), '') as name, email, cast(dob as date) as date_of_birth, city"
        ).to_arrow_table()
        truth = dict(rows.select("cast(unique_id as bigint), cluster").fetchall())
    return records, truth


def links(found: pa.Table) -> set[Pair]:
    """The pairs that are linked."""
    return {(row["left_number"], row["right_number"]) for row in found.to_pylist() if row["probability"] >= THRESHOLD}


def clustered(found: pa.Table) -> set[Pair]:
    """The pairs of records that came into one cluster."""
    members = sorted(linkage.clusters((*pair, 1.0) for pair in links(found)), key=lambda member: member.cluster)
    return {
        pair
        for _, cluster in itertools.groupby(members, key=lambda member: member.cluster)
        for pair in itertools.combinations(sorted(member.number for member in cluster), 2)
    }


def agreement(found: Collection[Pair], truth: dict[int, str]) -> Agreement:
    """Pairwise precision and recall."""
    true = {pair for pair in itertools.combinations(sorted(truth), 2) if truth[pair[0]] == truth[pair[1]]}
    right = len(true.intersection(found))
    return Agreement(right / max(len(found), 1), right / len(true))


def run(report: Callable[..., None]) -> None:
    """Measure and report.

    Raises:
        SystemExit: the links are not good enough.
    """
    records, truth = people()
    found = linkage.pairs(records, weights())
    by_link, by_cluster = agreement(links(found), truth), agreement(clustered(found), truth)
    for figures in (by_link, by_cluster):
        if figures.precision < LEAST_PRECISION or figures.recall < LEAST_RECALL:
            raise SystemExit(f"fake_1000: {figures}, wanted {LEAST_PRECISION} and {LEAST_RECALL}")
    many = _many()
    with tempfile.TemporaryDirectory(prefix="loompin-bench-") as folder:
        ours, linked = _ours(many, Path(folder))
        alone = _alone(many, Path(folder))
    report(
        f"linking {RECORDS:,} records of {TENANTS:,} tenants, {linked:,} links",
        ours,
        "splink's prediction alone",
        alone,
        3.0,
        f"fake_1000: links {by_link.precision:.3f} precision, {by_link.recall:.3f} recall;"
        f" clusters {by_cluster.precision:.3f}, {by_cluster.recall:.3f}",
    )


def _many() -> pa.Table:
    """Records of invented people, one in five twice with a typo, dealt to tenants."""
    with duckdb.connect() as connection:
        return connection.execute(f"""
            with people as (
                select i as number, hash(i - case when i % 5 = 1 then 1 else 0 end) as person,
                    (i // 5) % {TENANTS} as tenant, i % 5 = 1 as again
                from range({RECORDS}) as r (i)
            ), named as (
                select *, 'given' || chr(cast(97 + person % 26 as int)) || (person // 26 % 40) as given,
                    'family' || chr(cast(97 + person // 1040 % 26 as int)) || (person // 27040 % 300) as family
                from people
            )
            select number, 't' || tenant as tenant_id,
                given || ' ' || case when again then family || 'e' else family end as name,
                case when person % 3 > 0 or again
                    then given || '.' || person % 100000 || '@mail' || person % 7 || '.com' end as email,
                case when person % 2 = 0 then date '1940-01-01' + cast(person // 7 % 25000 as int) end as date_of_birth,
                case when person % 4 > 0 then 'city' || chr(cast(97 + person % 20 as int)) end as city
            from named""").to_arrow_table()


def _ours(records: pa.Table, folder: Path) -> tuple[float, int]:
    started = time.perf_counter()
    found = linkage.pairs(records, weights(), folder)
    linked = found.filter(pa.compute.greater_equal(found["probability"], THRESHOLD))
    columns: Iterable[list[float]] = (
        linked[name].to_pylist() for name in ("left_number", "right_number", "probability")
    )
    linkage.clusters(zip(*columns, strict=True))  # type: ignore[arg-type]
    return time.perf_counter() - started, len(linked)


def _alone(records: pa.Table, folder: Path) -> float:
    from splink import DuckDBAPI, Linker

    with contextlib.closing(linkage.prepared(records, folder)) as connection:
        started = time.perf_counter()
        model = linkage.splink_settings(weights(), prior=linkage.OTHERS / linkage.SMALLEST_TENANT)
        linker = Linker("records", model, DuckDBAPI(connection), set_up_basic_logging=False)
        linker.inference.predict(threshold_match_probability=linkage.LEAST_PROBABLE)
        return time.perf_counter() - started
