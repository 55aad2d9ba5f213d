"""The record: which version of which source file each night accepted. Append-only, under `raw/`.

    raw/<table>/<id>.parquet           a landed version of a file; <id> says content, contract and path
    raw/nights/<night>.json            what a completed night accepted, and digests of what it published
    raw/nights/<night>.held.parquet    rows that this night began or ceased to hold back
    raw/nights/<night>.finals.parquet  invoices that became final with this night: number, date, content hash
    raw/nights/pending.json            a night under way; becomes <night>.json when its publication stands

Everything else in a home can be made again from here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FileVersion:
    """One accepted version of a source file, as it was landed.

    `accepted` is the night that accepted it, `completed_before` the last night completed before that (None if there was
    none); the two tell when its rows are known.
    """

    id: str
    table: str
    source_file: str
    content: str
    contract: str
    rows: int
    rejects: int
    columns: list[str]
    extra_columns: list[str]
    line_offset: int
    bytes: int
    source_bytes: int
    misfits: int = 0
    line_steps: list[tuple[int, int]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    accepted: date | None = None
    completed_before: date | None = None


@dataclass(frozen=True)
class Night:
    """A night of the record: the versions that it accepted and what it published.

    `finals` is what `loompin.finals` keeps of it; None in a night that was completed before anything was kept.
    """

    night: date
    run_id: str
    completed_before: date | None
    accepted: list[FileVersion]
    gone: list[str]
    digests: dict[str, str] = field(default_factory=dict)
    code_version: str = ""
    finals: dict[str, Any] | None = None


def version_id(table: str, source_file: str, content: str, contract: str) -> str:
    """The name of a landed part: the same file with the same content under the same contract is landed once."""
    path = hashlib.sha256(f"{table}\n{source_file}".encode()).hexdigest()[:8]
    return f"{path}-{content[:20]}-{contract}"


class Record:
    """The record of one home."""

    def __init__(self, raw: Path) -> None:
        self.raw = raw
        self.folder = raw / "nights"

    def part(self, version: FileVersion) -> Path:
        """The Parquet file of a version."""
        return self.raw / version.table / f"{version.id}.parquet"

    def nights(self) -> list[Night]:
        """The completed nights, oldest first."""
        if not self.folder.is_dir():
            return []
        names = sorted(path for path in self.folder.glob("????-??-??.json"))
        return [_night(json.loads(path.read_text(encoding="utf-8"))) for path in names]

    def pending(self) -> Night | None:
        """The night under way, if one was not completed."""
        path = self.folder / "pending.json"
        return _night(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def held_path(self, night: date) -> Path:
        """Where the changes of the rows held back by a night stand."""
        return self.folder / f"{night.isoformat()}.held.parquet"

    @property
    def pending_held_path(self) -> Path:
        """Where those of the night under way stand."""
        return self.folder / "pending.held.parquet"

    def finals_path(self, night: date) -> Path:
        """Where the invoices that became final with a night stand, if there are any."""
        return self.folder / f"{night.isoformat()}.finals.parquet"

    @property
    def pending_finals_path(self) -> Path:
        """Where those of the night under way stand."""
        return self.folder / "pending.finals.parquet"

    def tidy(self) -> None:
        """Remove what a killed run left half-written beside landed parts and records: nothing that counts.

        The home's lock must be held, since another run's files look the same while it writes them.
        """
        for left in [*self.raw.glob("*/*.tmp.*"), *self.folder.glob(".*.tmp")]:
            left.unlink(missing_ok=True)

    def write_pending(self, night: Night) -> None:
        """State what the night under way accepts. A former pending night is replaced."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "pending.json", _plain(night))

    def complete(self) -> None:
        """Turn the pending night into a completed one. Safe to call again after a crash in between."""
        pending = self.pending()
        if pending is None:
            return
        if self.pending_held_path.exists():
            os.replace(self.pending_held_path, self.held_path(pending.night))
        if self.pending_finals_path.exists():
            os.replace(self.pending_finals_path, self.finals_path(pending.night))
        os.replace(self.folder / "pending.json", self.folder / f"{pending.night.isoformat()}.json")
        sync_folder(self.folder)


def current_versions(nights: Iterable[Night]) -> dict[str, FileVersion]:
    """The latest accepted version of each source file."""
    current: dict[str, FileVersion] = {}
    for night in nights:
        for version in night.accepted:
            current[version.source_file] = version
    return current


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that it is either the old or the new one, whole, after a crash."""
    working = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with working.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, default=str)
        file.flush()
        os.fsync(file.fileno())
    os.replace(working, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(night: Night) -> dict[str, Any]:
    return asdict(night)


def _night(plain: dict[str, Any]) -> Night:
    accepted = [
        FileVersion(
            **{
                **version,
                "accepted": _date(version["accepted"]),
                "completed_before": _date(version["completed_before"]),
            }
        )
        for version in plain["accepted"]
    ]
    return Night(
        **{
            **plain,
            "night": date.fromisoformat(plain["night"]),
            "completed_before": _date(plain["completed_before"]),
            "accepted": accepted,
        }
    )


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
