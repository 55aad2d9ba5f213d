"""A warehouse for a question: derived from the record of a home in a folder of its own, gone when it is answered.

Nothing in the home is written and its lock is not taken, so that a question can be asked while a night runs: the files
of completed nights never change. What is asked is in `reproduce` and `reprice`; dbt is run by whoever calls them.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from loompin import contracts, finals, landing, reading, validation
from loompin.record import FileVersion, Record
from loompin.rules import read_expectations
from loompin.settings import Settings
from loompin.validation import State, TableLanding


class Scratch(Settings):
    """The settings of a warehouse in a folder of its own that reads the record of another home, `record_folder`."""

    record_folder: Path

    @property
    def raw(self) -> Path:
        """The record of the home that is asked about; it is only read."""
        return self.record_folder

    def prepare(self) -> None:
        """Make the folders; the record is not touched."""
        for folder in (self.scratch, self.dbt_target, self.dbt_logs):
            folder.mkdir(parents=True, exist_ok=True)


Derive = Callable[[Scratch, Sequence[str]], None]
"""Builds models, with all that they are made from, in a scratch warehouse that is landed.

Called with its settings and the models' names. Raises `night.NightError` where they cannot be built.
"""


@contextlib.contextmanager
def opened(settings: Settings, purpose: str) -> Iterator[Scratch]:
    """A scratch warehouse for a home, in the folder for temporary files (TMPDIR), readable by its owner only.

    Args:
        settings: the home that is asked about.
        purpose: what it is for, as part of the folder's name.
    """
    with tempfile.TemporaryDirectory(prefix=f"loompin-{purpose}-") as folder:
        made = Scratch(
            home=Path(folder), source=settings.source, key=settings.key, record_folder=settings.raw, _env_file=None
        )
        made.prepare()
        yield made


def land(scratch: Scratch, state: State, parts: Mapping[str, Path] | None = None) -> list[TableLanding]:
    """Build the schemas `source` and `landing` of a scratch warehouse from landed files of what billing reads.

    All other tables are there and empty.

    Args:
        scratch: the warehouse.
        state: the file versions to read, such as `night.recorded` of the record.
        parts: where the parts of versions stand that are not in the record, by their id.
    """
    record = Record(scratch.raw)
    elsewhere = parts or {}

    def part(version: FileVersion) -> Path:
        return elsewhere.get(version.id) or record.part(version)

    declared = contracts.load()
    needed = _read_by_billing(declared)
    state = replace(state, versions=[version for version in state.versions if version.table in needed])
    with contextlib.closing(landing.connect(temp=scratch.scratch, database=scratch.warehouse)) as connection:
        landed = validation.validate(connection, record, declared, read_expectations(), state, part)
        finals.tell(connection, record, [])
    return landed


def _read_by_billing(declared: contracts.Contracts) -> set[str]:
    """The inputs that no night does without, all that they refer to, and the platform's rules about them."""
    needed = {"validation_rules"}
    following = [table for table in declared.tables.values() if table.night_ends_without]
    while following:
        table = following.pop()
        if table.name not in needed:
            needed.add(table.name)
            following += [
                declared.tables[target]
                for column in table.columns
                if column.references
                for target, _ in column.references.targets
            ]
    return needed


def rows(scratch: Scratch, sql: str, *values: Any) -> list[dict[str, Any]]:
    """All rows of a query of ours on the scratch warehouse, each by column name."""
    with contextlib.closing(duckdb.connect(str(scratch.warehouse), read_only=True)) as connection:
        return reading.rows(connection, sql, *values)
