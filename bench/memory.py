"""Peaks of memory, of the benchmarks that run in a process of their own, and how high they may be."""

from __future__ import annotations

import re
import resource
from pathlib import Path

_AT_MOST = 6e9


def peaks() -> tuple[int, int]:
    """The most memory that this process held so far, and the most of its ended children, in bytes (Linux).

    The first is read from `/proc`: what `getrusage` tells of a process includes the peak of the one that started it,
    as Linux hands that on. For the same reason a child's can be its parent's.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def check(what: str, peak: int) -> None:
    """End the benchmark if what it measured took more memory than the 6 GB that it may; `peak` in bytes."""
    if peak > _AT_MOST:
        raise SystemExit(f"{what} took {peak / 1e9:.1f} GB of memory, more than {_AT_MOST / 1e9:.0f}")
