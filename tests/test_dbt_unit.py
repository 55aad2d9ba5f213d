"""dbt's own unit tests: what a model makes of given rows. They are no checks of a night, so they are run here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from conftest import REPO

PROJECT = REPO / "dbt_project"


def test_every_unit_test_of_the_models_passes(night_home: Path, tmp_path: Path) -> None:
    # They read the types of the columns from the tables that a night made.
    warehouse = tmp_path / "warehouse.duckdb"
    shutil.copy(night_home / "warehouse.duckdb", warehouse)
    target = tmp_path / "target"
    command = [
        sys.executable, "-m", "dbt.cli.main", "test", "--quiet", "--select", "test_type:unit",
        "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(target),
        "--log-path", str(tmp_path / "logs"),
    ]  # fmt: skip
    environment = {**os.environ, "LOOMPIN_WAREHOUSE": str(warehouse), "LOOMPIN_HOME": str(night_home)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr

    results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    passed = {result["unique_id"].rsplit(".", 1)[-1] for result in results if result["status"] == "pass"}
    declared = {
        test["name"]
        for file in (PROJECT / "models").rglob("*.yml")
        for test in yaml.safe_load(file.read_text(encoding="utf-8")).get("unit_tests") or []
    }
    assert declared
    assert passed == declared
