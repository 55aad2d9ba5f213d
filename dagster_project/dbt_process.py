"""One dbt command as a process of its own, and what it reports. dbt in this process would keep DuckDB's file locked.

What its results mean in Dagster is in `marts`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from loompin.settings import DBT_PROJECT, PROJECT_ROOT, Settings

_RESULT_EVENTS = {"LogModelResult", "LogTestResult", "LogSeedResult", "LogSnapshotResult", "LogFreshnessResult"}
_PATIENCE_SECONDS = 30.0

Progress = Callable[[str, int, int], None]
"""Called with the node that was finished, its number and how many there are."""


@dataclass(frozen=True)
class NodeResult:
    """What dbt says of one model or test."""

    unique_id: str
    status: str
    seconds: float
    message: str
    failures: int | None
    compiled: str | None

    @property
    def succeeded(self) -> bool:
        """Whether the model was built or the test passed."""
        return self.status in ("success", "pass")


@dataclass(frozen=True)
class Outcome:
    """How a dbt command ended."""

    status: int
    results: dict[str, NodeResult] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class DbtProcess:
    """A dbt process, loading from the moment this is made; `start` gives it its command, `finish` waits for the end.

    Args:
        warehouse: the DuckDB file that dbt works in.
        target: dbt's target folder. dbt parses the project anew where the warehouse's path differs from the last time,
            so another warehouse needs another folder.
    """

    def __init__(self, settings: Settings, warehouse: Path, target: Path | None = None) -> None:
        self.target = target or settings.dbt_target
        self.target.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "LOOMPIN_HOME": str(settings.home),
            "LOOMPIN_SOURCE": str(settings.source),
            "LOOMPIN_WAREHOUSE": str(warehouse),
            "DBT_PROJECT_DIR": str(DBT_PROJECT),
            "DBT_PROFILES_DIR": str(DBT_PROJECT),
            "DBT_TARGET": "warehouse",
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(settings.dbt_logs),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "PYTHONUNBUFFERED": "1",
        }
        if settings.key is not None:
            environment["LOOMPIN_KEY"] = settings.key.get_secret_value()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dagster_project.dbt_worker", str(os.getpid())],
            cwd=PROJECT_ROOT, env=environment, text=True, encoding="utf-8", errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            # Its own group: an interrupt at the terminal reaches the run, and the run tells dbt.
            start_new_session=True,
        )  # fmt: skip

    def run(self, arguments: Sequence[str], progress: Progress | None = None) -> Outcome:
        """Run a dbt command to its end.

        Args:
            arguments: the command and its options, such as `["build", "--select", "invoices"]`.
        """
        self.start(arguments)
        return self.finish(progress)

    def start(self, arguments: Sequence[str]) -> None:
        """Let dbt begin with a command, and go on here meanwhile."""
        (self.target / "run_results.json").unlink(missing_ok=True)
        options = ["--log-format", "json", "--log-level-file", "info", "--no-use-colors", "--no-version-check"]
        assert self._process.stdin is not None
        # If it died while loading, its output, read in the end, says why.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([*options, *arguments]) + "\n")
            self._process.stdin.close()
        # Read at once: a full pipe would make dbt wait.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def finish(self, progress: Progress | None = None) -> Outcome:
        """Wait for the command that was started."""
        errors: list[str] = []
        try:
            for event in self._events(errors):
                self._report(event, errors, progress)
            status = self._process.wait()
        finally:
            self.close()
        return Outcome(status, self._results(), errors)

    def close(self) -> None:
        """End the process if it has not ended: asked first, so that dbt rolls back, then killed."""
        process = self._process
        if process.stdin and not process.stdin.closed:
            # A process that has no command yet ends by itself once it cannot get one.
            process.stdin.close()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._reader is not None:
            self._reader.join()
        if process.stdout:
            process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _events(self, errors: list[str]) -> Iterator[dict[str, Any]]:
        unread: list[str] = []
        for line in iter(self._lines.get, None):
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                unread.append(line.rstrip())
                continue
            if isinstance(event, dict) and "info" in event:
                yield event
        if self._process.wait() != 0 and not errors:
            # A crash of the interpreter is no event of dbt's: the end of its output is all there is.
            errors.extend(unread[-30:])

    @staticmethod
    def _report(event: dict[str, Any], errors: list[str], progress: Progress | None) -> None:
        info, data = event["info"], event.get("data") or {}
        if info.get("level") == "error" and info.get("msg", "").strip():
            errors.append(info["msg"].strip())
        if progress is not None and info.get("name") in _RESULT_EVENTS:
            progress(
                (data.get("node_info") or {}).get("node_name", ""), int(data.get("index", 0)), int(data.get("total", 0))
            )

    def _results(self) -> dict[str, NodeResult]:
        path = self.target / "run_results.json"
        if not path.exists():
            return {}
        results = (
            NodeResult(
                unique_id=result["unique_id"],
                status=result["status"],
                seconds=float(result.get("execution_time") or 0.0),
                message=str(result.get("message") or ""),
                failures=result.get("failures"),
                compiled=result.get("compiled_code"),
            )
            for result in orjson.loads(path.read_bytes())["results"]
        )
        return {result.unique_id: result for result in results}
