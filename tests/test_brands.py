"""A tenant's own names taken out of texts, held against the same rule as one pattern for RE2."""

from __future__ import annotations

import re

import duckdb
from hypothesis import example, given
from hypothesis import strategies as st

from loompin import brands

LETTERS = r"\p{L}\p{M}\p{N}_"
PIECES = ["Joy", "JOY", "joy", "Joy Corp", "joy CORP", "Corp", "(Stuff)", "Great (Stuff)", "a.b", " ", " ", "-", ",",
          "é", "e\u0301", "_", "x", "ጥሩ", "7", "🙂", "Straße", "Joy+"]  # fmt: skip
NAMES = st.lists(st.sampled_from([piece for piece in PIECES if len(piece) > 1]), min_size=1, max_size=6, unique=True)


def by_pattern(text: str, names: list[str]) -> str:
    ordered = sorted(names, key=lambda name: (-len(name), name))
    written = "|".join(f"(?i:{_quoted(name)})" if " " in name else _quoted(name) for name in ordered)
    whole = f"(^|[^{LETTERS}])(?:{written})($|[^{LETTERS}])"
    # Twice: a match takes the space behind it, which the next of two neighbours needs before it.
    sql = r"select regexp_replace(regexp_replace($1, $2, '\1 \2', 'g'), $2, '\1 \2', 'g')"
    row = duckdb.execute(sql, [text, whole]).fetchone()
    assert row is not None
    return str(row[0])


def _quoted(name: str) -> str:
    return re.sub(r"([^\w])", r"\\\1", name, flags=re.ASCII) if name.isascii() else name


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), NAMES)
@example("Joy Joy Corp,Joy", ["Joy", "Joy Corp"])
@example("JOY Corp and Joys", ["Joy", "Joy Corp"])
def test_names_leave_as_one_pattern_would_take_them(text: str, names: list[str]) -> None:
    found = brands.Names(names).without(text)
    assert re.sub(" +", " ", found) == re.sub(" +", " ", by_pattern(text, names))


def test_a_name_of_one_word_counts_as_it_is_written_only() -> None:
    assert brands.names_of("Joy\nJoy Corp").without("What a joy, said joy corp of Joy.") == "What a joy, said   of  ."
