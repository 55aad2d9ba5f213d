"""Which files of the source folder belong to which table. Nothing is read here but names."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from loompin.contracts import Contracts

SUFFIXES = (".csv", ".jsonl", ".parquet")
_UNREADABLE = (-1, -1)


class NoSource(Exception):
    """The source folder is missing or holds no file of a known table: wrong usage."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a table. `name` is its path relative to the source folder, with slashes; `size` is -1 for no file."""

    table: str
    name: str
    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Found:
    """What a source folder holds: files of tables, in the order of their names, and files that belong to none."""

    files: list[SourceFile]
    unknown: list[str]


def discover(folder: Path, contracts: Contracts) -> Found:
    """Find the files of every table: `t.csv`, `t.jsonl`, `t.parquet` and all below a folder `t`, at any depth.

    Hidden files and those that a writer has not named yet (`.x`, `_x`, `x.csv.tmp`, `x.csv~`) are passed over. What
    bears the name of a file and is none (a folder, a pipe, a link to nothing) is found with the size -1.

    Raises:
        NoSource: the folder is missing or holds no file of a known table.
    """
    if not folder.is_dir():
        raise NoSource(f"the source folder {folder} does not exist; set LOOMPIN_SOURCE to the folder of your files")
    files: list[SourceFile] = []
    unknown: list[str] = []
    for path in _walk(folder):
        relative = PurePosixPath(path.relative_to(folder).as_posix())
        table = _table_of(relative, contracts)
        if table is None:
            unknown.append(_shown(relative))
            continue
        size, mtime_ns = _UNREADABLE
        with contextlib.suppress(OSError):
            status = path.stat()
            # A name that is no text could not be handed to the readers of files.
            if stat.S_ISREG(status.st_mode) and _shown(relative) == str(relative):
                size, mtime_ns = status.st_size, status.st_mtime_ns
        files.append(SourceFile(table, _shown(relative), path, size, mtime_ns))
    if not files:
        raise NoSource(
            f"the source folder {folder} holds no file of a known table; a file is named after its table"
            " (tenants.csv) or stands in a folder of that name (usage_events/2026-02-01.csv)"
        )
    return Found(sorted(files, key=lambda file: file.name), unknown)


def _walk(folder: Path) -> Iterator[Path]:
    """All that is named like a source file, links to folders followed, each folder once."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # A folder or a pipe with the name of a file is no file, and whoever made it should be told.
        named_as_files = [entry for entry in folders if Path(entry).suffix.lower() in SUFFIXES]
        folders[:] = sorted(
            entry for entry in folders if not entry.startswith((".", "_")) and entry not in named_as_files
        )
        for entry in sorted([*names, *named_as_files]):
            if not entry.startswith((".", "_")) and Path(entry).suffix.lower() in SUFFIXES:
                yield Path(parent) / entry


def _shown(relative: PurePosixPath) -> str:
    """A path as text; bytes that are no UTF-8 are written out, so that it can be stored."""
    return os.fsencode(relative).decode("utf-8", "backslashreplace")


def _table_of(relative: PurePosixPath, contracts: Contracts) -> str | None:
    for folder in reversed(relative.parts[:-1]):
        if folder in contracts.tables:
            return folder
    stem = relative.name[: -len(relative.suffix)]
    return stem if stem in contracts.tables else None
