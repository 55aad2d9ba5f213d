"""Train the token weights of joy, anger and fear: dbt_project/seeds/emotion_weights.csv.

Usage: python tools/train_emotions.py FOLDER, with the rows of GoEmotions (Demszky et al., 2020, Apache-2.0) in FOLDER:
ekman_train.tsv, ekman_dev.tsv (text, label numbers, comment id) and ekman_labels.txt. Needs scikit-learn, which the
project itself does not: `uv pip install scikit-learn` into an environment of its own beside the project's packages.

A text is the set of its tokens and of its pairs of neighbouring tokens; a logistic regression adds their weights to an
intercept. Texts are cut by the very macro that the night uses (macros/text.sql), so that training and scoring cannot
drift apart. Settings were chosen by four-fold cross-validation on the train rows; the dev rows are only looked at
for the F1 that is printed, of the weights as they are written. The same file comes out each time.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "dbt_project" / "seeds" / "emotion_weights.csv"
MACROS = ROOT / "dbt_project" / "macros" / "text.sql"
# How rare a token may be, the inverse of the penalty, and how many rows without the emotion weigh like one with it.
SETTINGS = {"joy": (0.2, 2), "anger": (0.1, 5), "fear": (0.2, 25)}
FEWEST_ROWS = 5
# Terms whose weights are all smaller than this are left out: they change no F1 in the third decimal.
SMALLEST = 0.2


def read(path: Path) -> tuple[list[str], list[set[int]]]:
    """Texts and the numbers of their labels."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [row[0] for row in rows], [{int(number) for number in row[1].split(",")} for row in rows]


def terms(texts: list[str]) -> list[set[str]]:
    """The tokens and pairs of neighbouring tokens of each text."""
    connection = duckdb.connect()
    connection.execute("create table texts (place bigint, body varchar)")
    connection.executemany("insert into texts values (?, ?)", list(enumerate(texts)))
    macro = re.search(
        r"macro default__emotion_tokens\(expression\) -%\}\s*(.*?)\s*\{%- endmacro", MACROS.read_text(), re.DOTALL
    )
    assert macro
    cut = macro[1].replace("{{ expression }}", "body")
    found = connection.execute(f"select {cut} from texts order by place").fetchall()
    return [set(tokens) | {f"{one} {two}" for one, two in pairwise(tokens)} for (tokens,) in found]


def matrix(rows: list[set[str]], places: dict[str, int]) -> csr_matrix:
    """1 where a row has a term."""
    cells = [(row, places[term]) for row, found in enumerate(rows) for term in sorted(found) if term in places]
    at = np.array(cells).T
    return csr_matrix((np.ones(len(cells)), (at[0], at[1])), shape=(len(rows), len(places)))


def main() -> None:
    """Train, print F1, write the weights."""
    folder = Path(sys.argv[1])
    labels = folder.joinpath("ekman_labels.txt").read_text(encoding="utf-8").split()
    (train, train_labels), (dev, dev_labels) = read(folder / "ekman_train.tsv"), read(folder / "ekman_dev.tsv")
    train_terms, dev_terms = terms(train), terms(dev)
    counts = Counter(term for found in train_terms for term in found)
    places = {term: place for place, term in enumerate(sorted(t for t, n in counts.items() if n >= FEWEST_ROWS))}
    seen, unseen = matrix(train_terms, places), matrix(dev_terms, places)
    weights: dict[str, np.ndarray] = {}
    intercepts: dict[str, float] = {}
    for emotion, (inverse_penalty, odds) in SETTINGS.items():
        number = labels.index(emotion)
        wanted = np.array([number in found for found in train_labels])
        model = LogisticRegression(
            C=inverse_penalty, class_weight={0: 1, 1: odds}, solver="liblinear", max_iter=500, random_state=0
        ).fit(seen, wanted)
        weights[emotion], intercepts[emotion] = np.round(model.coef_[0], 2), round(float(model.intercept_[0]), 2)
    kept = np.max(np.abs(np.array(list(weights.values()))), axis=0) >= SMALLEST
    for emotion, weight in weights.items():
        number = labels.index(emotion)
        wanted = np.array([number in found for found in dev_labels])
        told = unseen @ np.where(kept, weight, 0) + intercepts[emotion] >= 0
        print(f"{emotion}: F1 {f1_score(wanted, told):.3f} on {len(dev):,} dev rows, {wanted.sum()} with it")
    with WEIGHTS.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["term", *SETTINGS])
        writer.writerow(["", *intercepts.values()])
        for term, place in places.items():
            if kept[place]:
                writer.writerow([term, *(f"{weight[place]:g}" for weight in weights.values())])
    print(f"{kept.sum():,} of {len(places):,} terms, {WEIGHTS.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
