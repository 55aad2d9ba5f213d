"""`python -m bench.rater`: generated books of business through the pipeline, held line by line against the rater.

`--books N` says how many (10,000 by default), `--seed S` which, `--book P` runs only one of that seed's first batch,
cut down to the fewest rows on which the two still disagree. 1 if there is a disagreement.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from billing_models import compiled
from rater.batch import batches, compare, emptied, smallest, told

from loompin import telemetry


def main(arguments: list[str]) -> int:
    """Compare as many books as asked for; print counts, and each disagreement."""
    telemetry.disable()
    parser = argparse.ArgumentParser(prog="python -m bench.rater", description=__doc__)
    parser.add_argument("--books", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--book", type=int)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return _run(asked, Path(folder))


def _run(asked: argparse.Namespace, folder: Path) -> int:
    models = compiled(folder / "models")
    started, books, lines, wrong = time.monotonic(), 0, 0, 0
    for seed, businesses in batches(asked.books, asked.seed):
        chosen = businesses if asked.book is None else [businesses[asked.book]]
        with emptied(folder / f"batch{seed}") as place:
            outcome = compare(chosen, models, place)
        books += outcome.books
        lines += outcome.lines
        wrong += len(outcome.disagreements)
        for number, differing in outcome.disagreements.items():
            if asked.book is None:
                print(told(seed, number, chosen[number], differing))
            else:
                least = smallest(chosen[number], models, folder / "smallest")
                with emptied(folder / "told") as place:
                    print(told(seed, asked.book, least, compare([least], models, place).disagreements[0]))
        for law in outcome.broken_laws:
            wrong += 1
            print(f"seed {seed} breaks the law {law}")
        seconds = time.monotonic() - started
        print(f"{books} books, {lines} lines, {wrong} disagreements, {seconds:.0f} s", flush=True)
        if asked.book is not None:
            break
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
