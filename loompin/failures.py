"""What an error means to the person at the terminal: one line, what to do, and the exit status.

Status 1: the work could not be completed, and what was published stands. Status 2: the call was wrong. A message never
holds the value of a setting that is secret.
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass

from loompin.settings import Settings

_FULL = {errno.ENOSPC, errno.EDQUOT}
# SQLite and others say "I/O error" when they mean this.
_AS_GOOD_AS_FULL = 1 << 20


@dataclass(frozen=True)
class Failure:
    """An error in words: what happened, what to do about it, and how the command ends."""

    status: int
    message: str
    advice: str = ""


class UnknownId(Exception):
    """What was asked for does not exist; the message names it."""


def explain(error: BaseException, settings: Settings | None) -> Failure:
    """Put an error into words.

    Args:
        settings: where the command worked, if that is known; tells how full its disk is.
    """
    # Whatever raised these has imported them already.
    import duckdb
    import pydantic

    from loompin import contracts, importance, invoice_pdfs, lock, night, privacy, publish, reading, rules, sources

    wrong_calls = UnknownId | sources.NoSource | night.UsageError | reading.QueryRefused | importance.CannotExplain
    if isinstance(error, wrong_calls):
        return Failure(2, str(error))
    if isinstance(error, reading.NothingPublished):
        return Failure(2, str(error), "run: loompin nightly")
    if isinstance(error, pydantic.ValidationError):
        names = ", ".join(f"LOOMPIN_{'_'.join(str(part) for part in item['loc']).upper()}" for item in error.errors())
        return Failure(2, f"a setting is not valid: {names}", "correct it in the environment or in .env")
    if isinstance(error, lock.LockHeld):
        return Failure(1, str(error), "wait until it is done; `loompin status` shows whether it still runs")
    if isinstance(error, contracts.ContractError):
        return Failure(
            1, f"the contract is wrong: {error}", "correct the file in dbt_project/models/domains/ and run again"
        )
    if isinstance(error, rules.ExpectationsError):
        return Failure(1, str(error), "correct the file and run again")
    if isinstance(error, night.NightError | publish.NotPublishable | privacy.PseudonymKeyError):
        return Failure(1, str(error))
    if full := _full_disk(error, settings):
        return full
    if isinstance(error, invoice_pdfs.PdfsFailed):
        return Failure(1, str(error), "mend what is said, then run the same night again; PDFs that are there stay")
    if isinstance(error, duckdb.OutOfMemoryException):
        return Failure(1, f"not enough memory: {_first_line(error)}", "close other programs, or ask for less at a time")
    if isinstance(error, duckdb.IOException | duckdb.FatalException | duckdb.SerializationException):
        return Failure(
            1, f"a DuckDB file cannot be used: {_first_line(error)}",
            "warehouse.duckdb and the published file are derived: delete the broken one and run the night again",
        )  # fmt: skip
    if isinstance(error, duckdb.Error):
        return Failure(1, _first_line(error), "run again with --debug for the traceback")
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return Failure(
            1, f"{(error.strerror or _first_line(error)).lower()}{where}", "check the path, its owner and its rights"
        )
    return Failure(
        1, f"unexpected {type(error).__name__}: {_first_line(error)}", "run again with --debug for the traceback"
    )


def is_disk_full(text: str, settings: Settings | None) -> bool:
    """Whether an error's text, or the disk itself, tells that there is no room left."""
    told = any(sign in text.lower() for sign in ("no space left", "disk is full"))
    free = _free_bytes(settings)
    return told or (free is not None and free < _AS_GOOD_AS_FULL)


def free_space(settings: Settings | None) -> str:
    """How much the home's disk can still take, to be put behind the words that tell it is full."""
    free = _free_bytes(settings)
    return "" if settings is None or free is None else f": {free:,} bytes are free where {settings.home} is"


def _full_disk(error: BaseException, settings: Settings | None) -> Failure | None:
    seen: BaseException | None = error
    while seen is not None:
        if (isinstance(seen, OSError) and seen.errno in _FULL) or is_disk_full(str(seen), settings):
            return Failure(
                1,
                f"the disk is full{free_space(settings)}",
                "make room or set LOOMPIN_HOME to another disk, then run again",
            )
        seen = seen.__cause__ or seen.__context__
    return None


def _free_bytes(settings: Settings | None) -> int | None:
    if settings is None or not settings.home.exists():
        return None
    return shutil.disk_usage(settings.home).free


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
