"""One writer a home: a lock that the operating system frees when its process dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from loompin.settings import Settings

_held: dict[Path, tuple[int, int]] = {}
_guard = threading.Lock()


class LockHeld(Exception):
    """Another process writes to this home. `holder` says which, as far as it is known."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"another run is writing to this home: {holder}")
        self.holder = holder


@contextlib.contextmanager
def home_lock(
    settings: Settings,
    purpose: str,
    wait_seconds: float = 0.0,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the home's lock. A process that holds it may take it again; it is freed with the last one.

    Args:
        purpose: what the run does, shown to whoever is refused.
        wait_seconds: how long to wait for another process.
        on_wait: called once with the holder, if there is a wait.

    Raises:
        LockHeld: another process still holds it after `wait_seconds`.
    """
    path = settings.lock_file
    with _guard:
        descriptor, depth = _held.get(path, (-1, 0))
        if depth == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _acquire(descriptor, wait_seconds, on_wait)
            except BaseException:
                os.close(descriptor)
                raise
            holder = {"pid": os.getpid(), "purpose": purpose, "since": datetime.now(UTC).isoformat(timespec="seconds")}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        _held[path] = (descriptor, depth + 1)
    try:
        yield
    finally:
        with _guard:
            descriptor, depth = _held[path]
            if depth == 1:
                del _held[path]
                os.ftruncate(descriptor, 0)
                os.close(descriptor)
            else:
                _held[path] = (descriptor, depth - 1)


def holder(settings: Settings) -> str | None:
    """Who writes to this home now (process, purpose, since when), or None."""
    try:
        descriptor = os.open(settings.lock_file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _describe(descriptor)
    finally:
        os.close(descriptor)
    return None


def _acquire(descriptor: int, wait_seconds: float, on_wait: Callable[[str], None] | None) -> None:
    deadline = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            who = _describe(descriptor)
            if time.monotonic() >= deadline:
                raise LockHeld(who) from None
            if on_wait is not None and not told:
                on_wait(who)
                told = True
            time.sleep(min(0.2, max(0.0, deadline - time.monotonic())))


def _describe(descriptor: int) -> str:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {told['pid']}, {told['purpose']}, since {told['since']}"
    except (ValueError, KeyError):
        return "an unknown process"
