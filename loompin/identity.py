"""Whom a reference means: the one id behind a full id, a shortened one or a slug.

Python's part of resolution: each distinct reference is looked up once, and rows are joined with the result. What an
unknown reference does to its row is a rule, in `rules`.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Sequence
from typing import Literal

Problem = Literal["unknown", "ambiguous"]
# Without the dots that mark a shortened id, only a beginning of so many characters is taken for one.
_SHORTEST_BEGINNING = 8
_DOTS = re.compile(r"-?(\.{2,}|…)$")


class Identities:
    """The ids that references may mean, and their slugs."""

    def __init__(self, ids: Iterable[str | None] = (), slugs: Iterable[tuple[str | None, str]] = ()) -> None:
        self._ids = sorted({identity for identity in ids if identity})
        self._known = set(self._ids)
        self._by_slug: dict[str, set[str]] = {}
        self._slug_of: dict[str, str] = {}
        for slug, identity in slugs:
            if slug:
                self._by_slug.setdefault(slug, set()).add(identity)
                self._slug_of[identity] = slug

    def resolve(self, reference: str) -> tuple[str, None] | tuple[None, Problem]:
        """The full id, or None and why: no id is meant, or several may be."""
        if reference in self._known:
            return reference, None
        named = self._by_slug.get(reference)
        if named:
            return _only(sorted(named))
        beginning = _DOTS.sub("", reference)
        shortened = beginning != reference
        if not beginning or (not shortened and len(beginning) < _SHORTEST_BEGINNING):
            return None, "unknown"
        start = bisect.bisect_left(self._ids, beginning)
        return _only([identity for identity in self._ids[start : start + 2] if identity.startswith(beginning)])

    def slug(self, identity: str | None) -> str | None:
        """The slug of an id, if it has one."""
        return self._slug_of.get(identity or "")


def _only(found: Sequence[str]) -> tuple[str, None] | tuple[None, Problem]:
    if len(found) == 1:
        return found[0], None
    return None, "ambiguous" if found else "unknown"
