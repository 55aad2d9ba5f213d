"""How much each of several columns explains of another: Johnson's relative weights and LMG shares of R squared.

Both share out the R squared of a linear regression among columns that overlap, and both add up to it. LMG (Lindeman,
Merenda and Gold, 1980; Shapley values of R squared) is the mean over all orders of what a column adds when it comes in;
Johnson (2000) goes through the orthogonal columns closest to the given ones. What belongs here: the arithmetic, for
matrices and for the file of an analyst. Which figures of the warehouse are explained is said by the models.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from loompin import sqltext

Array = NDArray[np.float64]

GROUPS = 16
"""Groups of responses that intervals come from: one is left out at a time."""

_T_OF_GROUPS = 2.131450
"""Two-sided 95 % point of Student's t with GROUPS - 1 degrees of freedom."""

_EXACT_IN_FILES = 20
_EXACT_IN_SURVEYS = 12
_ORDERS = 512
_NOTHING_LEFT = 1e-10
"""Share of a column's variance below which it holds nothing that the columns before it do not."""


class CannotExplain(Exception):
    """A table that no shares can be computed for; the message names what is wrong and what to do."""


@dataclass(frozen=True)
class Shares:
    """Shares of R squared, a value a column, in the order of the columns; each of the two adds up to `r2`."""

    r2: float
    lmg: Array
    johnson: Array
    exact: bool


def shares(correlations: Array, with_target: Array, exact_up_to: int = _EXACT_IN_FILES) -> Shares:
    """Share out R squared.

    Columns that are linear combinations of others share what they have in common: whichever comes second adds nothing.

    Args:
        correlations: correlations of the columns with each other.
        with_target: their correlations with what is explained.
        exact_up_to: with more columns than this, LMG is the mean over 1,024 orders instead of all (the same each time).
    """
    return _shares_of_each(correlations[None], with_target[None], exact_up_to)[0]


def _shares_of_each(correlations: Array, with_target: Array, exact_up_to: int) -> list[Shares]:
    """As `shares`, of several matrices of one size at once: the steps are many and small, whatever they work on."""
    matrices, count = with_target.shape
    if count == 0:
        return [Shares(0.0, np.zeros(0), np.zeros(0), exact=True)] * matrices
    # Columns in an order of their own, so that names and places change nothing where orders are sampled.
    order = np.array([
        np.lexsort((np.round(np.abs(one).sum(axis=0), 9), np.round(target, 9)))
        for one, target in zip(correlations, with_target, strict=True)
    ])  # fmt: skip
    columns = correlations[np.arange(matrices)[:, None, None], order[:, :, None], order[:, None, :]]
    targets = np.take_along_axis(with_target, order, axis=1)
    exact = count <= exact_up_to
    if exact:
        lmg = _lmg_of_all_orders(columns, targets)
    else:
        lmg = np.array([_lmg_of_some_orders(*one) for one in zip(columns, targets, strict=True)])
    johnson = _johnson(columns, targets)
    back = np.argsort(order, axis=1)
    return [
        Shares(float(one.sum()), one[places], other[places], exact)
        for one, other, places in zip(lmg, johnson, back, strict=True)
    ]


def _johnson(correlations: Array, with_target: Array) -> Array:
    values, vectors = np.linalg.eigh(correlations)
    kept = values > _NOTHING_LEFT
    roots = np.sqrt(np.where(kept, values, 0.0))
    inverse = np.divide(1.0, roots, out=np.zeros_like(roots), where=kept)
    across = np.swapaxes(vectors, -1, -2)
    loadings = (vectors * roots[:, None, :]) @ across
    weights = (vectors * inverse[:, None, :]) @ across @ with_target[:, :, None]
    result: Array = ((loadings**2) @ (weights**2))[:, :, 0]
    return result


def _swept(matrices: Array) -> Array:
    """The matrices of what is left of all other columns once the first is accounted for, without the first."""
    pivots = matrices[..., 0, 0]
    factors = np.divide(1.0, pivots, out=np.zeros_like(pivots), where=pivots > _NOTHING_LEFT)
    first = matrices[..., 0, 1:]
    result: Array = matrices[..., 1:, 1:] - first[..., :, None] * first[..., None, :] * factors[..., None, None]
    return result


def _bordered(correlations: Array, with_target: Array) -> Array:
    """Matrices of correlations with the target as the last row and column."""
    matrices, count = with_target.shape
    result = np.ones((matrices, count + 1, count + 1))
    result[:, :-1, :-1] = correlations
    result[:, -1, :-1] = result[:, :-1, -1] = with_target
    return result


def _lmg_of_all_orders(correlations: Array, with_target: Array) -> Array:
    count = with_target.shape[1]
    matrices = _bordered(correlations, with_target)[:, None]
    for _ in range(count):
        # Bit j of a place says whether column j is in the set.
        matrices = np.concatenate([matrices[..., 1:, 1:], _swept(matrices)], axis=1)
    unexplained = matrices[..., 0, 0]
    sizes = np.zeros(1, dtype=np.int64)
    for _ in range(count):
        sizes = np.concatenate([sizes, sizes + 1])
    chances = np.array([1 / (count * math.comb(count - 1, size)) for size in range(count)])
    added = np.empty_like(with_target)
    for column in range(count):
        shape = (-1, 2, 1 << column)
        without, with_it = (unexplained.reshape(len(added), *shape)[:, :, place] for place in (0, 1))
        added[:, column] = np.sum(chances[sizes.reshape(shape)[:, 0, :]] * (without - with_it), axis=(1, 2))
    return added


def _lmg_of_some_orders(correlations: Array, with_target: Array) -> Array:
    count = len(with_target)
    generator = np.random.default_rng(1980)
    forth = np.array([generator.permutation(count) for _ in range(_ORDERS)])
    # Each order once more from behind: what comes early in one comes late in the other.
    orders = np.concatenate([forth, forth[:, ::-1]])
    (bordered,) = _bordered(correlations[None], with_target[None])
    places = np.concatenate([orders, np.full((len(orders), 1), count)], axis=1)
    matrices = bordered[places[:, :, None], places[:, None, :]]
    added = np.zeros(count)
    for place in range(count):
        before = matrices[:, -1, -1]
        matrices = _swept(matrices)
        np.add.at(added, orders[:, place], before - matrices[:, -1, -1])
    return added / len(orders)


# ----------------------------------------------------------------------------------------- sums of squares and products


@dataclass(frozen=True)
class TopicShare:
    """Shares of one topic with the half-widths of their 95 % intervals; None where nothing can be computed."""

    r2: float
    lmg: float
    lmg_margin: float | None
    johnson: float
    johnson_margin: float | None
    exact: bool
    collinear: bool


def topic_shares(groups: Sequence[int], rows: Sequence[int], columns: Sequence[int], values: Sequence[float]
                 ) -> list[TopicShare | None]:  # fmt: skip
    """Shares of topics in the differences between the scores of responses.

    The arguments are the cells of the matrices of sums of products of 1, the topics (0 or 1) and the score, one matrix
    a group of responses: place 0 is the 1, the places after it the topics, the last the score. A cell that is missing
    is 0; each is given on one side of the diagonal or both. The interval is the delete-a-group jackknife.

    Returns:
        One share a topic; None for a topic that every response touches or none, and for all topics if the scores do not
        differ or there are no more responses than topics and one.
    """
    size = max(columns, default=0) + 1
    sums = np.zeros((GROUPS, size, size))
    for group, row, column, value in zip(groups, rows, columns, values, strict=True):
        sums[group, row, column] = sums[group, column, row] = value
    total = sums.sum(axis=0)
    varying = _varying(total)
    if total[0, 0] <= len(varying) + 1 or not len(varying) or _spread(total)[-1] <= _NOTHING_LEFT:
        return [None] * (size - 2)
    kept = np.array([0, *varying, size - 1])
    total, sums = total[np.ix_(kept, kept)], sums[:, kept][:, :, kept]
    # Without a group that nobody is in there is no jackknife.
    left_out = total - sums if all(sums[:, 0, 0]) else sums[:0]
    found, *anew = _shares_of_sums([total, *left_out])
    margins = _margins(anew) if anew else None
    correlations = _correlations(total)[:-1, :-1]
    alone = _unexplained_by_others(correlations) > _NOTHING_LEFT
    result: list[TopicShare | None] = [None] * (size - 2)
    for place, topic in enumerate(varying):
        result[topic - 1] = TopicShare(
            found.r2, float(found.lmg[place]), None if margins is None else float(margins[0][place]),
            float(found.johnson[place]), None if margins is None else float(margins[1][place]),
            found.exact, not alone[place],
        )  # fmt: skip
    return result


def _spread(sums: Array) -> Array:
    """Variance of each column relative to its mean square: what is 0 but for rounding is 0 at any scale."""
    squares = np.diag(sums)
    centred = squares - sums[0] ** 2 / sums[0, 0]
    result: Array = np.divide(centred, squares, out=np.zeros_like(centred), where=squares > 0)
    return result


def _varying(sums: Array) -> NDArray[np.int64]:
    return 1 + np.flatnonzero(_spread(sums)[1:-1] > _NOTHING_LEFT)


def _correlations(sums: Array) -> Array:
    """Correlations of all but the first column; a column that does not vary is correlated with none."""
    centred = (sums - np.outer(sums[0], sums[0]) / sums[0, 0])[1:, 1:]
    scale = np.where(_spread(sums)[1:] > _NOTHING_LEFT, np.sqrt(np.maximum(np.diag(centred), 0.0)), np.inf)
    scale[scale == 0] = np.inf
    result: Array = centred / np.outer(scale, scale)
    np.fill_diagonal(result, np.where(np.isfinite(scale), 1.0, 0.0))
    return result


def _shares_of_sums(sums: Sequence[Array]) -> list[Shares]:
    found = np.array([_correlations(one) for one in sums])
    return _shares_of_each(found[:, :-1, :-1], found[:, :-1, -1], _EXACT_IN_SURVEYS)


def _margins(left_out: Sequence[Shares]) -> tuple[Array, Array]:
    lmg, johnson = (
        np.sqrt((GROUPS - 1) * np.var([getattr(one, name) for one in left_out], axis=0)) * _T_OF_GROUPS
        for name in ("lmg", "johnson")
    )
    return lmg, johnson


def _unexplained_by_others(correlations: Array) -> Array:
    """Share of each column's variance that the other columns do not hold."""
    count = len(correlations)
    # Each column once at the end, after all others.
    orders = np.array([[*(place for place in range(count) if place != last), last] for last in range(count)])
    matrices = correlations[orders[:, :, None], orders[:, None, :]]
    for _ in range(count - 1):
        matrices = _swept(matrices)
    result: Array = matrices[:, 0, 0]
    return result


# ------------------------------------------------------------------------------------------------- a file of an analyst


@dataclass(frozen=True)
class FileShares:
    """Shares of the columns of a file, with the rows that they rest on and those left out for an empty cell."""

    columns: list[str]
    shares: Shares
    rows: int
    rows_left_out: int


def of_file(path: Path, target: str, without: Sequence[str] = ()) -> FileShares:
    """Shares of all columns of a CSV or Parquet file in the differences of one.

    Args:
        target: the column to explain.
        without: columns to leave out.

    Raises:
        CannotExplain: the file, its columns or their values do not allow it.
    """
    names, numbers, rows = _read(path, target, without)
    if len(numbers) < len(names) + 1:
        raise CannotExplain(
            f"{path.name} has {len(numbers)} rows with a number in each column, too few for {len(names) - 1} columns; "
            f"it takes at least {len(names) + 1}"
        )
    spread = numbers.std(axis=0)
    scale = np.abs(numbers).max(axis=0)
    constant = [name for name, one, all_ in zip(names, spread, scale, strict=True) if one <= 1e-13 * all_]
    if target in constant:
        raise CannotExplain(f"the column {target} has one value in all rows: there is nothing to explain")
    if constant:
        raise CannotExplain(
            f"constant, so that they explain nothing: {', '.join(constant)}; leave them out with --without"
        )
    standard = (numbers - numbers.mean(axis=0)) / spread
    correlations = standard.T @ standard / len(standard)
    np.fill_diagonal(correlations, 1.0)
    alone = _unexplained_by_others(correlations[:-1, :-1])
    if together := [name for name, left in zip(names[:-1], alone, strict=True) if left <= _NOTHING_LEFT]:
        raise CannotExplain(
            f"collinear, so that their shares cannot be told apart: {', '.join(together)}; each follows from the"
            " others, leave one of them out with --without"
        )
    return FileShares(names[:-1], shares(correlations[:-1, :-1], correlations[:-1, -1]), len(numbers),
                      rows - len(numbers))  # fmt: skip


def _read(path: Path, target: str, without: Sequence[str]) -> tuple[list[str], Array, int]:
    """The names of the columns, the target last, their numbers in the rows without an empty cell, and all rows."""
    readers = {".csv": "read_csv({}, header = true)", ".tsv": "read_csv({}, header = true)",
               ".parquet": "read_parquet({})"}  # fmt: skip
    if path.suffix.lower() not in readers:
        raise CannotExplain(f"{path.name} is no .csv, .tsv or .parquet file")
    if not path.is_file():
        raise CannotExplain(f"there is no file {path}")
    source = readers[path.suffix.lower()].format(sqltext.path(path))
    with contextlib.closing(duckdb.connect()) as connection:
        try:
            types = {name: kind for name, kind, *_ in connection.execute(f"describe from {source}").fetchall()}
            names = _chosen(types, path, target, without)
            cells = ", ".join(f"cast({sqltext.name(name)} as double)" for name in names)
            found = connection.execute(f"select {cells} from {source}").fetchnumpy()
        except duckdb.Error as error:
            raise CannotExplain(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error
    columns = [np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan) for values in found.values()]
    numbers = np.column_stack(columns)
    return names, numbers[np.isfinite(numbers).all(axis=1)], len(numbers)


def _chosen(types: dict[str, str], path: Path, target: str, without: Sequence[str]) -> list[str]:
    for name in (target, *without):
        if name not in types:
            raise CannotExplain(f"{path.name} has no column {name}; it has {', '.join(types)}")
    if target in without:
        raise CannotExplain(f"the column {target} is to be explained and cannot be left out")
    names = [*(name for name in types if name != target and name not in without), target]
    kinds = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
             "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")  # fmt: skip
    if words := [name for name in names if not types[name].startswith(kinds)]:
        told = ", ".join(f"{name} ({types[name].lower()})" for name in words)
        raise CannotExplain(f"no numbers: {told}; leave such columns out with --without")
    if len(names) == 1:
        raise CannotExplain(f"{path.name} has no column beside {target} to explain it by")
    return names
