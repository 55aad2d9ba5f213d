"""Texts without the names of the tenant that they are about: a brand called Joy is no praise.

What belongs here: taking names out of a text. Which names a tenant has is said by the models; names of people are taken
out by `loompin.privacy`, before.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from itertools import groupby

import ahocorasick


@functools.cache
def _letters() -> str:
    """What words are made of, as the inside of a character class: letters, digits, _ and marks."""
    marks = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("M")]
    runs = [list(run) for _, run in groupby(enumerate(marks), key=lambda numbered: numbered[1] - numbered[0])]
    return r"\w" + "".join(f"{chr(run[0][1])}-{chr(run[-1][1])}" for run in runs)


class Names:
    """The names of one tenant: of two words and more in any case; a single word only as it is written.

    In any case a single word would take ordinary words with it.
    """

    def __init__(self, names: list[str]) -> None:
        self._automaton = ahocorasick.Automaton()
        for name in names:
            self._automaton.add_word(name.casefold(), None)
        self._automaton.make_automaton()
        ordered = sorted(names, key=lambda name: (-len(name), name))
        written = "|".join(f"(?i:{re.escape(name)})" if " " in name else re.escape(name) for name in ordered)
        self._pattern = re.compile(f"(?<![{_letters()}])(?:{written})(?![{_letters()}])")

    def without(self, text: str) -> str:
        """The text with a space in place of each name that stands there as whole words; the longest name counts."""
        # One look, whatever the number of names: in most texts there is none.
        if next(self._automaton.iter(text.casefold()), None) is None:
            return text
        # Twice: a name that touches another is a whole word once that one is gone.
        return self._pattern.sub(" ", self._pattern.sub(" ", text))


@functools.lru_cache(maxsize=10_000)
def names_of(lines: str) -> Names:
    """The names of a tenant, one a line; kept, as texts of a tenant follow each other."""
    return Names([line for line in lines.split("\n") if line])
