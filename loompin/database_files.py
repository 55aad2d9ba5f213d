"""DuckDB files that are derived, and may be discarded: each is a file and, until it is closed, a log beside it."""

from __future__ import annotations

from pathlib import Path


def log_of(database: Path) -> Path:
    """DuckDB's log of what is not in the file yet. It is gone once the file is closed, and stays if its writer died."""
    return database.with_name(f"{database.name}.wal")


def discard(database: Path) -> None:
    """Remove a file and its log, if they are there."""
    # The file first: without it, a log that is left has nothing to be replayed on.
    database.unlink(missing_ok=True)
    log_of(database).unlink(missing_ok=True)


def discard_unclosed(database: Path) -> None:
    """Remove a file whose writer died: its blocks may be half-written, and all of it is made again anyway."""
    if log_of(database).exists():
        discard(database)
