"""Estimate the identity model: dbt_project/seeds/identity_weights.csv.

Usage: python tools/train_identity.py, from the repository's root. Reads fake_1000 (tests/reference/entity_resolution).

m and u come from splink's expectation maximisation over all pairs of records, without blocking, random sampling or the
labels. The labels are only looked at for the figures that are printed: of the weights as they are written, and of a
model estimated on one half of the people and tried on the other.

Two bounds keep u from being too small. A level that two people hardly ever reach gets the upper end of the 95 %
interval of a share that was never seen, 3 / n. And addresses of two people are taken to be similar as often as names
are: people of fake_1000 share no domain, those of a real platform do, and an address is mostly made of the name.

The same file comes out each time.
"""

from __future__ import annotations

import contextlib
import csv
import logging
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import identity
from loompin import linkage
from loompin.linkage import Weight

DIGITS = 4
SIMILAR_EMAIL, SIMILAR_NAME = ("email", 1), ("name", 5)
# Where the estimation begins; it ends at the same weights from any sensible beginning.
FIRST_GUESS = {"m": 0.8, "u": 0.98, "prior": 0.005}


def train(records: pa.Table) -> list[Weight]:
    """The model that fits the records."""
    from splink import DuckDBAPI, Linker
    from splink.blocking_rule_library import CustomRule

    settings = linkage.splink_settings(_guess(), FIRST_GUESS["prior"])
    with contextlib.closing(linkage.prepared(records)) as connection:
        linker = Linker("records", settings, DuckDBAPI(connection), set_up_basic_logging=False)
        linker.training.estimate_parameters_using_expectation_maximisation(
            CustomRule("l.tenant_id = r.tenant_id"), fix_u_probabilities=False
        )
        found = linker.misc.save_model_to_json()
        known = {
            comparison: connection.execute(f"select count({column}) from records").fetchone()[0]
            for comparison, column in linkage.MISSING.items()
        }
    weights = []
    for comparison in found["comparisons"]:
        name = comparison["output_column_name"]
        levels = [level for level in comparison["comparison_levels"] if not level.get("is_null_level")]
        never_seen = 3 / (known[name] * (known[name] - 1) / 2)
        for number, level in zip(range(len(levels) - 1, -1, -1), levels, strict=True):
            m, u = (_rounded(level[f"{which}_probability"], never_seen) for which in ("m", "u"))
            weights.append(Weight(name, number, m, u))
    (alike,) = (weight.u for weight in weights if weight[:2] == SIMILAR_NAME)
    return [weight._replace(u=max(weight.u, alike)) if weight[:2] == SIMILAR_EMAIL else weight for weight in weights]


def _guess() -> list[Weight]:
    weights = []
    for comparison, level in linkage.labels():
        others = len(linkage.LEVELS[comparison])
        rest_m, rest_u = (1 - FIRST_GUESS["m"]) / others, (1 - FIRST_GUESS["u"]) / others
        best, worst = level == others, level == 0
        weights.append(
            Weight(comparison, level, FIRST_GUESS["m"] if best else rest_m, FIRST_GUESS["u"] if worst else rest_u)
        )
    return weights


def _rounded(probability: float, least: float) -> float:
    return float(f"{max(probability, least):.{DIGITS}g}")


def _tell(what: str, records: pa.Table, truth: dict[int, str], weights: list[Weight]) -> None:
    found = linkage.pairs(records, weights)
    own = set(records["number"].to_pylist())
    truth = {number: person for number, person in truth.items() if number in own}
    for kind, pairs in (("links", identity.links(found)), ("clusters", identity.clustered(found))):
        figures = identity.agreement(pairs, truth)
        print(f"{what}, {kind}: precision {figures.precision:.4f}, recall {figures.recall:.4f}")


def main() -> None:
    """Estimate, print precision and recall, write the weights."""
    logging.getLogger("splink").setLevel(logging.WARNING)
    records, truth = identity.people()
    for half in (0, 1):
        inside = pc.is_in(records["number"], pa.array([n for n, person in truth.items() if int(person) % 2 == half]))
        _tell(
            f"half {half + 1}, by the other half",
            records.filter(inside),
            truth,
            train(records.filter(pc.invert(inside))),
        )
    weights = train(records)
    _tell("all", records, truth, weights)
    with identity.WEIGHTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["comparison", "level", "label", "m", "u"])
        labels = linkage.labels()
        writer.writerows([w.comparison, w.level, labels[w.comparison, w.level], w.m, w.u] for w in weights)


if __name__ == "__main__":
    main()
