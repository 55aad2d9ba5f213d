"""`make ui` for the browser tests: started on a free port, asked by GraphQL, driven by clicks, stopped as with Ctrl-C.

What the pages must show is in `test_ui.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page
from playwright.sync_api import TimeoutError as NotInTime

REPO = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(__file__).parent / "screenshots"

# The job of runs that are launched from assets.
ASSET_JOB = "__ASSET_JOB"
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
# Generous, as a machine of two cores may have other things to do; a test that passes never waits so long.
START_SECONDS = 240.0
RUN_SECONDS = 600.0
STOP_SECONDS = 60.0

_RUNS = """
query Runs($filter: RunsFilter) {
  runsOrError(filter: $filter, limit: 20) {
    ... on Runs {
      results { runId status jobName creationTime startTime endTime tags { key value } }
    }
  }
}
"""


@dataclass(frozen=True)
class Run:
    """A run as the UI's GraphQL tells it; times in seconds since 1970, None while it has not come so far."""

    run_id: str
    status: str
    job: str
    created: float
    started: float | None
    ended: float | None
    tags: dict[str, str]

    @property
    def nights(self) -> tuple[str, str]:
        """The first and the last night that it was launched for."""
        one = self.tags.get("dagster/partition", "")
        return (
            self.tags.get("dagster/asset_partition_range_start", one),
            self.tags.get("dagster/asset_partition_range_end", one),
        )


@dataclass(frozen=True)
class Server:
    """A running `make ui` and the home that it serves."""

    process: subprocess.Popen[bytes]
    url: str
    home: Path
    log: Path

    @property
    def published(self) -> Path:
        """The file that analysts open."""
        return self.home / "published" / "analytics.duckdb"

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that a GraphQL query gives."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.load(answer)
        assert "errors" not in told, told["errors"]
        return told["data"]

    def runs(self, **run_filter: Any) -> list[Run]:
        """The newest runs, newest first."""
        return [
            Run(
                one["runId"], one["status"], one["jobName"], one["creationTime"], one["startTime"], one["endTime"],
                {tag["key"]: tag["value"] for tag in one["tags"]},
            )
            for one in self.ask(_RUNS, filter=run_filter)["runsOrError"]["results"]
        ]  # fmt: skip

    def launched(self, before: Sequence[Run]) -> list[Run]:
        """The runs that were launched by hand since `before` was asked for, oldest first."""
        known = {run.run_id for run in before}
        return [run for run in reversed(self.runs(pipelineName=ASSET_JOB)) if run.run_id not in known]

    def wait_for_runs(self, before: Sequence[Run], count: int, seconds: float = RUN_SECONDS) -> list[Run]:
        """Wait until so many runs were launched by hand since `before` was asked for, and all have ended."""
        for _ in _until(seconds, lambda: f"{count} runs have ended: {self.launched(before)}"):
            found = self.launched(before)
            if len(found) >= count and all(run.status in ENDED for run in found):
                return found
        raise AssertionError

    def wait_for_launch(self, before: Sequence[Run]) -> None:
        """Wait until a run was launched by hand, or by the daemon for a backfill, since `before` was asked for."""
        for _ in _until(START_SECONDS, lambda: "a run is launched"):
            if self.launched(before):
                break

    def backfills_ended(self) -> list[str]:
        """The status of each backfill, once the daemon, which looks every half minute, has closed the last of them."""
        query = "{ partitionBackfillsOrError(limit: 20) { ... on PartitionBackfills { results { status } } } }"
        for _ in _until(RUN_SECONDS, lambda: "the backfills are closed"):
            found = [one["status"] for one in self.ask(query)["partitionBackfillsOrError"]["results"]]
            if "REQUESTED" not in found:
                return found
        raise AssertionError

    def problems(self, run: Run) -> str:
        """What a run that failed says of it."""
        told = self.ask(
            "query Why($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection(limit: 1000) { events {"
            " __typename ... on ErrorEvent { error { message cause { message } } } } } } } }",
            id=run.run_id,
        )
        events = told["runOrError"]["eventConnection"]["events"]
        return "\n".join(str(event["error"]) for event in events if event.get("error"))


def start(home: Path, log: Path) -> Server:
    """Start `make ui` for a home, as a user does, and wait until it answers with its code location loaded."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # This may itself be run by make, whose settings are not those of the user's shell.
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DAGSTER_HOME")}
    environment |= {"LOOMPIN_HOME": str(home), "LOOMPIN_SOURCE": str(REPO / "seeds")}
    # A shell starts what it runs in the background deaf to Ctrl-C, and its children inherit that.
    command = ["env", "--default-signal=INT", "make", "ui", f"DAGSTER_PORT={port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=REPO, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    server = Server(process, f"http://127.0.0.1:{port}", home, log)
    try:
        for _ in _until(START_SECONDS, lambda: f"the UI answers:\n{log.read_text(errors='replace')[-4000:]}"):
            assert process.poll() is None, log.read_text(errors="replace")[-4000:]
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                entries = server.ask(
                    "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"
                )["workspaceOrError"]["locationEntries"]
                if entries and all(entry["loadStatus"] == "LOADED" for entry in entries):
                    break
    except BaseException:
        stop(server)
        raise
    return server


def stop(server: Server) -> list[str]:
    """Stop the UI as Ctrl-C does. Returns the command lines of processes that outlived it, which are ended too."""
    if server.process.poll() is None:
        os.killpg(server.process.pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    while (left := _processes(server.home)) and time.monotonic() < deadline:
        server.process.poll()
        time.sleep(0.3)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.process.wait(timeout=30)
    return list(left.values())


def _processes(home: Path) -> dict[int, str]:
    """The processes that were started for a home, whatever their parent: id and command line."""
    mark = f"LOOMPIN_HOME={home}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:150]
    return found


def _until(seconds: float, what: Callable[[], str], pause: float = 0.5) -> Iterator[None]:
    """Try again until the caller breaks off; fail when it takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
    raise AssertionError(f"not within {seconds:.0f} s: {what()}")


def shot(page: Page, name: str) -> None:
    """Keep what the page shows, to be looked at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def go(page: Page, section: str) -> None:
    """Click a section in the navigation on the left."""
    page.get_by_role("link").filter(has=page.get_by_text(section, exact=True)).first.click()


def open_launcher(page: Page, partitions: str) -> Locator:
    """Click Materialize on the page and pick partitions (`2026-02-10`, `[2026-02-11...2026-03-10]`) in the dialog."""
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    dialog = page.get_by_role("dialog")
    picked = dialog.get_by_placeholder(re.compile("^(ex: |No matching partitions)"))
    picked.wait_for()
    # The dialog begins with the last 90 days; the nights of the seeds are older.
    everything = dialog.get_by_role("button", name="Show all partitions")
    if everything.count():
        everything.click()
    picked = dialog.get_by_placeholder(re.compile("^ex: 2020-01-01"))
    picked.fill(partitions)
    picked.press("Enter")
    return dialog


def launch(dialog: Locator) -> None:
    """Click the dialog's button and wait until it has closed, that is until the run or backfill was created."""
    button = dialog.get_by_role("button", name=re.compile("^Launch (1 run|backfill)$"))
    for _ in _until(START_SECONDS, lambda: f"the launcher has closed: {dialog.inner_text()}"):
        # A note that appears moves the button away from under the click; while it launches it has another name.
        with contextlib.suppress(NotInTime):
            if button.count() and button.is_enabled(timeout=5_000):
                button.click(timeout=5_000)
            dialog.wait_for(state="hidden", timeout=5_000)
            break


def shown(page: Page, key: str) -> str:
    """A metadata value of an asset or a check; one that stands behind a link ("Show JSON") is opened and closed."""
    value = page.locator("tr").filter(has=page.get_by_text(key, exact=True)).last.locator("td").last
    value.wait_for()
    link = value.get_by_text(re.compile(r"^\[Show (JSON|Markdown)\]$"))
    if not link.count():
        return value.inner_text().strip()
    link.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Close", exact=True).wait_for()
    text = dialog.inner_text()
    dialog.get_by_role("button", name="Close", exact=True).click()
    dialog.wait_for(state="hidden")
    return text.removeprefix(key).split("\nCopy")[0].strip()
