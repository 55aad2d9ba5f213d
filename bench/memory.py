"""Peaks of memory, for the benchmarks that run in a process of their own."""

from __future__ import annotations

import re
import resource
from pathlib import Path


def peaks() -> tuple[int, int]:
    """The most memory that this process held so far, and the most of its ended children, in bytes (Linux).

    The first is read from `/proc`: what `getrusage` tells of a process includes the peak of the one that started it,
    as Linux hands that on. For the same reason a child's can be its parent's.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
