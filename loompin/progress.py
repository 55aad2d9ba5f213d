"""Shows how far a long command is, on standard error: a moving line on a terminal, a line a stage elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from loompin import output

_IN_WORDS = {
    "start": "starting",
    "look": "looking at the source folder",
    "land": "landing and validating",
    "derive": "deriving (dbt)",
    "docs": "writing docs",
    "publish": "publishing",
    "invoices": "writing invoice PDFs",
}


class Progress:
    """Called with (stage, what is done now, done, total); zeros where it is not known how far it is."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or output.console(stderr=True)
        self._live = self._console.is_terminal
        self._bars = Bars(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24),
            TextColumn("{task.fields[told]}"), TimeElapsedColumn(),
            console=self._console, transient=True, disable=not self._live,
        )  # fmt: skip
        self._task: int | None = None
        self._stage, self._since = "", 0.0

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()
        self._bars.stop()

    def __call__(self, stage: str, what: str, done: int, total: int) -> None:
        """Say what is done now."""
        if stage != self._stage:
            self._finish()
            self._stage, self._since = stage, time.perf_counter()
            if self._live:
                self._task = self._bars.add_task(_IN_WORDS.get(stage, stage), total=None, told="")
        if self._live and self._task is not None:
            told = f"{done}/{total} {what}" if total else what
            self._bars.update(
                self._bars.task_ids[-1], completed=done, total=total or None, told=Text(output.safe(told)[:60]).plain
            )

    def _finish(self) -> None:
        if self._stage and self._stage not in ("start", "look"):
            seconds = time.perf_counter() - self._since
            self._console.print(f"{_IN_WORDS.get(self._stage, self._stage)}: {seconds:.1f} s")
        if self._task is not None:
            self._bars.remove_task(self._bars.task_ids[-1])
            self._task = None
        self._stage = ""
