"""VADER's compound score of many texts, by two processes, equal to what `vaderSentiment` gives for each of them.

What belongs here: how the texts get scored quickly. Which texts are scored, and what is removed from them before, is
said by the models. As a program (`python -m loompin.sentiment`) it scores a JSON array of texts a line until its input
ends.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from string import punctuation
from typing import Any

from vaderSentiment.vaderSentiment import (  # type: ignore[import-untyped]
    BOOSTER_DICT,
    N_SCALAR,
    NEGATE,
    SentimentIntensityAnalyzer,
    allcap_differential,
    normalize,
)

PROCESSES = 2
_WORTH_A_PROCESS = 1000
_NEGATIONS = frozenset(NEGATE)


class _Analyzer(SentimentIntensityAnalyzer):  # type: ignore[misc]
    """VADER whose time grows with the length of a text, not with its square: the same rules on fewer words."""

    @staticmethod
    def _negation_check(valence: float, words: list[str], start: int, place: int) -> float:
        before = [word.lower() for word in words[max(place - 3, 0) : place]]
        word = before[-1 - start]
        if start > 0:
            emphasized = before[-1] in ("so", "this")
            if start == 2:
                emphasized = emphasized or (word == "never" and before[-2] in ("so", "this"))
            else:
                emphasized = emphasized and word == "never"
            if emphasized:
                return valence * 1.25
            if word == "without" and "doubt" in before[-start:]:
                return valence
        return valence * N_SCALAR if word in _NEGATIONS or "n't" in word else valence

    @staticmethod
    def _special_idioms_check(valence: float, words: list[str], place: int) -> float:
        first = max(place - 3, 0)
        found: float = SentimentIntensityAnalyzer._special_idioms_check(  # noqa: SLF001  overridden here
            valence, words[first : place + 3], place - first
        )
        return found

    @staticmethod
    def _but_check(words: list[str], valences: list[float]) -> list[float]:
        """Halves what stands before the first `but` and raises what stands after, each time the first equal valence."""
        but = next((place for place, word in enumerate(words) if word.lower() == "but"), None)
        if but is None:
            return valences
        places: dict[float, list[int]] = defaultdict(list)
        for place, valence in enumerate(valences):
            places[valence].append(place)
        for current in range(len(valences)):
            valence = valences[current]
            if valence == 0:
                continue
            equal = places[valence]
            while valences[equal[0]] != valence:
                heapq.heappop(equal)
            first = equal[0]
            if first != but:
                valences[first] = valence * (0.5 if first < but else 1.5)
                heapq.heappush(places[valences[first]], first)
        return valences

    def compound(self, text: str) -> float | None:
        """As `polarity_scores`, for one of its figures: what it does not need is skipped."""
        if not text.isascii() and not self._emoji_characters.isdisjoint(text):
            text = self._with_emojis_in_words(text)
        # Emojis without a description stay as they are, as do spaces at the ends: neither changes a word or a sign.
        words = [token if len(word := token.strip(punctuation)) <= 2 else word for token in text.split()]
        lowered = [word.lower() for word in words]
        valences: list[float] = []
        split = _Words(words)
        scored = False
        for place, word in enumerate(lowered):
            if (
                word not in self.lexicon
                or word in BOOSTER_DICT
                or (word == "kind" and lowered[place + 1 : place + 2] == ["of"])
            ):
                valences.append(0.0)
            else:
                scored = True
                self.sentiment_valence(0, split, words[place], place, valences)
        if not scored:
            return None
        total = float(sum(self._but_check(words, valences)))
        if total:
            total += self._punctuation_emphasis(text) * (1 if total > 0 else -1)
        return round(float(normalize(total)), 4)

    @functools.cached_property
    def _emoji_characters(self) -> frozenset[str]:
        return frozenset(self.emojis)

    def _with_emojis_in_words(self, text: str) -> str:
        pieces: list[str] = []
        for character in text:
            if character in self.emojis:
                pieces += (" " if pieces and pieces[-1] != " " else "", self.emojis[character])
            else:
                pieces.append(character)
        return "".join(pieces)


class _Words:
    """The words of a text, as VADER's rules want to read them."""

    def __init__(self, words: list[str]) -> None:
        self.words_and_emoticons = words

    @functools.cached_property
    def is_cap_diff(self) -> bool:
        """Whether some words, but not all, are in capitals."""
        found: bool = allcap_differential(self.words_and_emoticons)
        return found


@functools.cache
def _analyzer() -> _Analyzer:
    return _Analyzer()


def compound(text: str) -> float | None:
    """VADER's compound score of a text, from -1 to 1; None if no word of it is in the lexicon."""
    return _analyzer().compound(text)


class Scorer:
    """Scores texts; with many of them it starts two processes, which end with this one."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self._count = processes
        self._processes: list[subprocess.Popen[str]] = []
        self._locks = [threading.Lock() for _ in range(processes)]
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="sentiment")
        self._starting = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> list[float | None]:
        """The compound score of each text, None where no word is in the lexicon."""
        if len(texts) < _WORTH_A_PROCESS and not self._processes:
            return [compound(text) for text in texts]
        with self._starting:
            while len(self._processes) < self._count:
                self._processes.append(_process())
        # Dealt in turn, so that long texts do not all fall to one process.
        dealt = [texts[number :: self._count] for number in range(self._count)]
        result: list[float | None] = [None] * len(texts)
        for number, scores in enumerate(self._threads.map(self._ask, range(self._count), dealt)):
            result[number :: self._count] = scores
        return result

    def _ask(self, number: int, texts: Sequence[str]) -> list[float | None]:
        process = self._processes[number]
        assert process.stdin is not None
        assert process.stdout is not None
        with self._locks[number]:
            process.stdin.write(json.dumps(list(texts)) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that scores texts ended with status {process.wait()}")
        found: list[float | None] = json.loads(answer)
        return found

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown()
        for process in self._processes:
            process.communicate()
        self._processes = []


def _process() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "loompin.sentiment"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        encoding="ascii", env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip


def main() -> None:
    """Score a line of texts after the other."""
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        for line in sys.stdin:
            texts: list[Any] = json.loads(line)
            sys.stdout.write(json.dumps([compound(text) for text in texts]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
