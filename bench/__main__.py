"""`make bench`: runs the benchmarks (all, or those named), prints their rows; `--write` puts the table into docs/."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loompin import telemetry

BENCHMARKS = ("night", "landing", "rules", "pdf", "billing", "voice", "identity")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Row:
    """One measurement: seconds, those of its reference, and how many times the reference it may take."""

    name: str
    seconds: float
    reference: str
    reference_seconds: float
    limit: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """Seconds by the reference's seconds."""
        return self.seconds / self.reference_seconds

    def cells(self) -> list[str]:
        """The row of the table."""
        verdict = "yes" if self.ratio <= self.limit else "NO"
        return [
            self.name, f"{self.seconds:.2f} s", self.reference, f"{self.reference_seconds:.2f} s", f"{self.ratio:.2f}",
            f"{self.limit:g}", verdict, self.note,
        ]  # fmt: skip


Report = Callable[..., None]


def main(arguments: list[str]) -> int:
    """Run the named benchmarks (all by default); 1 if a ratio is over its limit."""
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"of {', '.join(BENCHMARKS)}; all if none")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.benchmarks) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    telemetry.disable()
    rows: list[Row] = []

    def report(
        name: str, seconds: float, reference: str, reference_seconds: float, limit: float, note: str = ""
    ) -> None:
        rows.append(Row(name, seconds, reference, reference_seconds, limit, note))
        print(" | ".join(rows[-1].cells()), flush=True)

    for name in asked.benchmarks or BENCHMARKS:
        importlib.import_module(f"bench.{name}").run(report)
    if asked.write:
        PAGE.write_text(_page(rows), encoding="utf-8")
        print(f"written to {PAGE.name}")
    return 1 if any(row.ratio > row.limit for row in rows) else 0


def _page(rows: list[Row]) -> str:
    head = ["what", "took", "reference", "took", "ratio", "at most", "held", "note"]
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *(row.cells() for row in rows)]]
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    told = (
        f"`make bench` on {machine}, {datetime.now(UTC).date()}. Each ratio compares two things run one after the"
        " other on the same machine; absolute seconds mean little elsewhere."
    )
    return "\n".join(["# Benchmarks", "", told, "", *lines, ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
