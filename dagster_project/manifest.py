"""dbt's manifest for Dagster: parsed when a file of the dbt project changed, else taken from the home.

The copy that Dagster reads is named after what it was made from, so that a code location that loads while dbt rewrites
its own `target/` never sees half a file. How dbt is started is in `dbt_process`.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from dagster_project.dbt_process import DbtProcess
from loompin.settings import DBT_PROJECT, Settings

_SUFFIXES = {".yml", ".yaml", ".sql", ".md", ".csv", ".py"}
_KEPT = 5

SEMANTIC = "semantic_manifest.json"
"""The name that dbt gives the semantic manifest."""


class ManifestError(Exception):
    """dbt could not parse the project; the message is dbt's own."""


def load(settings: Settings) -> Mapping[str, Any]:
    """The manifest of the dbt project as it stands on disk, parsed first if that is needed.

    Raises:
        ManifestError: dbt cannot parse the project.
    """
    return _read(prepare(settings))


def prepare(settings: Settings) -> Path:
    """The path of an up-to-date manifest in the home. Safe to call from several processes at once."""
    folder = settings.dbt_target.parent / "manifests" / fingerprint()
    path = folder / "manifest.json"
    if path.exists():
        return path
    settings.prepare()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            outcome = DbtProcess(settings, settings.warehouse).run(["parse"])
            if outcome.status != 0:
                raise ManifestError("dbt cannot parse the project:\n" + "\n".join(outcome.errors))
            working = folder.with_name(f".{folder.name}.{os.getpid()}")
            working.mkdir()
            for file in (path.name, SEMANTIC):
                shutil.copyfile(settings.dbt_target / file, working / file)
            working.rename(folder)
            _forget_old(folder.parent)
    return path


def semantic(settings: Settings) -> Path:
    """The path of the semantic manifest, the metrics of MetricFlow, that belongs to the manifest."""
    return prepare(settings).with_name(SEMANTIC)


def fingerprint(project: Path = DBT_PROJECT) -> str:
    """Changes with any file of the project and with dbt's version."""
    told = hashlib.sha256()
    for name in ("dbt-core", "dbt-duckdb"):
        told.update(f"{name}={version(name)};".encode())
    for parent, folders, files in os.walk(project):
        folders[:] = sorted(folder for folder in folders if folder not in ("target", "logs") and folder[0] not in "._")
        for file in sorted(files):
            path = Path(parent, file)
            if path.suffix in _SUFFIXES:
                told.update(path.relative_to(project).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return told.hexdigest()[:20]


@functools.lru_cache(maxsize=2)
def _read(path: Path) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = orjson.loads(path.read_bytes())
    return manifest


def _forget_old(folder: Path) -> None:
    made = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for old in sorted(made, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
        shutil.rmtree(old)
