"""The project's own files: locks, the Dagster instance, telemetry, hooks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance

from loompin import telemetry
from loompin.settings import PROJECT_ROOT


def test_the_locks_name_no_host_and_hash_every_pin() -> None:
    for name in ("requirements.lock", "bootstrap.lock"):
        text = (PROJECT_ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "index" not in [word for line in text.splitlines() if line.startswith("-") for word in line.split()]
        pins = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text))
        assert pins
        for pin in pins:
            assert re.match(r"[A-Za-z0-9._-]+==\S+", pin), pin
            assert "--hash=sha256:" in pin, pin


def test_the_lock_holds_every_declared_dependency() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    lock = (PROJECT_ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = {name.lower() for name in re.findall(r"(?m)^([A-Za-z0-9._-]+)==", lock)}
    names = {re.split(r"[<>=\[ ]", requirement)[0].lower().replace("_", "-") for requirement in declared}
    assert names <= pinned


def test_the_dagster_instance_runs_one_thing_at_a_time_and_reports_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(PROJECT_ROOT / "dagster.yaml", tmp_path)
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.run_retries_enabled
        assert instance.run_monitoring_enabled
        limits = instance.get_concurrency_config()
        assert limits.pool_config.default_pool_limit == 1
        assert limits.run_queue_config is not None
        assert limits.run_queue_config.max_concurrent_runs == 1


def test_telemetry_is_off_unless_the_user_switched_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("DO_NOT_TRACK", "DBT_SEND_ANONYMOUS_USAGE_STATS", "DAGSTER_DISABLE_TELEMETRY", "GX_ANALYTICS_ENABLED")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    telemetry.disable()
    assert [os.environ[name] for name in names] == ["1", "false", "1", "true"]


def test_the_hooks_fetch_nothing() -> None:
    hooks = yaml.safe_load((PROJECT_ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    assert {hook["language"] for repo in hooks["repos"] for hook in repo["hooks"]} <= {"system", "pygrep"}


def test_make_names_its_targets_and_finds_the_environment_ready() -> None:
    shown = subprocess.run(["make", "help"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "test", "test-ui", "ui", "bench", "lint", "lock", "clean"):
        assert re.search(rf"^  make {target} ", shown, re.MULTILINE)
    # -n tells what would be done: nothing, since these tests run in an environment that was made from the lock.
    done = subprocess.run(["make", "-n", "env"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    assert "Nothing to be done" in done


def test_a_missing_python_is_told(tmp_path: Path) -> None:
    """Without Python 3.11 or 3.12 on PATH the bootstrap says so, instead of failing somewhere later."""
    (tmp_path / "tools").mkdir()
    shutil.copy(PROJECT_ROOT / "tools" / "bootstrap.sh", tmp_path / "tools")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for tool in ("bash", "dirname"):
        (bin_ / tool).symlink_to(shutil.which(tool) or "")
    for name in ("python3.11", "python3.12", "python3", "python"):
        (bin_ / name).write_text("#!/bin/bash\nexit 1\n", encoding="utf-8")
        (bin_ / name).chmod(0o755)
    done = subprocess.run(
        [str(bin_ / "bash"), "tools/bootstrap.sh", ".venv/.ready"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={"PATH": str(bin_)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Python 3.11 or 3.12 is needed" in done.stderr
    assert not (tmp_path / ".venv").exists()
