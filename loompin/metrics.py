"""Metrics of the published file: which there are is published beside it, and MetricFlow's `mf` asks for them.

What a metric means stands in the YAML files beside the marts (`_metrics.yml`). MetricFlow is run in a process of its
own, as a module (`python -m loompin.metrics`): it changes the logging and the signals of the process that it is in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loompin import telemetry
from loompin.reading import NothingPublished, require_published
from loompin.settings import DBT_PROJECT, Settings


def publish(settings: Settings, semantic_manifest: Path) -> None:
    """Put the metrics that belong to the published file beside it: atomic, readable by anyone.

    Args:
        semantic_manifest: what dbt wrote for the models of the published file.
    """
    working = settings.metrics.with_name(f".{settings.metrics.name}.{os.getpid()}")
    shutil.copyfile(semantic_manifest, working)
    working.chmod(0o644)
    working.replace(settings.metrics)


def ask(settings: Settings, arguments: Sequence[str]) -> int:
    """Run a command of `mf` on the published file and show what it says; its exit status.

    Args:
        arguments: the command and its options, such as `["query", "--metrics", "nps"]`.

    Raises:
        NothingPublished: no night has been published in this home, or only one from before there were metrics.
    """
    require_published(settings)
    if not settings.metrics.exists():
        raise NothingPublished(f"the published file came without metrics: there is no {settings.metrics}")
    with tempfile.TemporaryDirectory(prefix="loompin-metrics-") as folder:
        # The least that mf takes for a dbt project; it finds the manifest nowhere else.
        project = Path(folder)
        (project / "target").mkdir()
        shutil.copyfile(settings.metrics, project / "target" / "semantic_manifest.json")
        for file in ("dbt_project.yml", "profiles.yml"):
            shutil.copyfile(DBT_PROJECT / file, project / file)
        environment = {
            **os.environ,
            "LOOMPIN_HOME": str(settings.home),
            "DBT_PROJECT_DIR": folder,
            "DBT_PROFILES_DIR": folder,
            "DBT_TARGET": "published",
            "DBT_TARGET_PATH": str(project / "target"),
            "DBT_LOG_PATH": str(project / "logs"),
        }
        command = [sys.executable, "-m", "loompin.metrics", *arguments]
        return subprocess.run(command, env=environment, check=False).returncode


def main() -> None:
    """`mf`, but it asks nobody whether there is a newer version, and ends with 2 if there is no such metric."""
    telemetry.disable()
    from dbt_metricflow.cli import main as mf
    from dbt_metricflow.cli.cli_configuration import CLIConfiguration
    from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest, MetricFlowQueryResult
    from metricflow_semantics.errors.error_classes import InvalidQueryException

    class NoUpdates:
        def check(self, _package: str, _version: str) -> None: ...

    class Engine(MetricFlowEngine):
        def query(self, mf_request: MetricFlowQueryRequest) -> MetricFlowQueryResult:
            try:
                return super().query(mf_request)
            except InvalidQueryException as error:
                print(f"\n{error}", file=sys.stderr)
                sys.exit(2)

    class Configuration(CLIConfiguration):
        @property
        def mf(self) -> MetricFlowEngine:
            if self._mf is None:
                self._mf = Engine(semantic_manifest_lookup=self.semantic_manifest_lookup, sql_client=self.sql_client)
            return self._mf

    mf.UpdateChecker = NoUpdates  # type: ignore[attr-defined]
    mf.cli.main(sys.argv[1:], prog_name="loompin metrics", obj=Configuration())


if __name__ == "__main__":
    main()
