"""Kill nights at random moments, a hundred times, and compare what comes of them with nights that nobody disturbed.

    python -m bench.kills --kills 90 --whole 10

No benchmark: nothing is timed against anything, so it is not part of `make bench`. `--kills` counts nights of a small
book of business, landed, derived, published and billed in a child process (tests/kill_home.py); `--whole` counts
`loompin nightly` on `seeds/`, with Dagster and dbt. A home is killed one to three times (SIGKILL, at any moment of the
night's length), run to its end, and compared: record, landed rows, published tables, hashes, files of events, PDFs.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from loompin import invoice_pdfs
from loompin.record import Record
from loompin.settings import PROJECT_ROOT, Settings

sys.path.insert(0, str(PROJECT_ROOT / "tests"))
os.environ.setdefault("LOOMPIN_KEY", "a key for tests only")

import billing_models
import kill_home

BASE, CLOSE = date(2026, 2, 10), date(2026, 3, 1)
"""The whole nights: one that lands the seeds, undisturbed; then the close of the month, which is killed."""


@dataclass
class Trial:
    """A home ready for a night. `run` runs it, kills it after so many seconds (0: never), and tells whether it did.

    `after` is the home of the same night that nobody disturbed, which took `seconds`. All are the processor's.
    """

    night: date
    home: Path
    after: Path
    seconds: float
    run: Callable[[float], bool]


def main() -> int:
    """Kill, finish, compare, print; 1 if anything differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=90, help="of nights of a small book of business")
    parser.add_argument("--whole", type=int, default=10, help="of whole nights of the command line")
    parser.add_argument("--seed", type=int, default=20260201)
    wanted = parser.parse_args()
    chance = random.Random(wanted.seed)
    ended: list[str] = []
    died: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="loompin-kills-") as folder:
        for what, count, trials in (
            ("a small book", wanted.kills, _small(Path(folder) / "small", chance)),
            ("loompin nightly", wanted.whole, _whole(Path(folder) / "whole")),
        ):
            done = 0
            while done < count:
                trial, here = next(trials), 0
                for _ in range(min(chance.randint(1, 3), count - done)):
                    if not trial.run(chance.uniform(0.02, trial.seconds)):
                        break
                    kill_home.check_whole(trial.home)
                    died[f"{what}: {_stage(trial)}"] += 1
                    here += 1
                trial.run(0)
                done += here
                differences = kill_home.differences(trial.after, trial.home)
                ended += [f"{what}, night {trial.night}: {told}" for told in differences]
                print(
                    f"{what}, night {trial.night}: killed {here} times, then"
                    f" {differences or 'the same'} ({done} of {count})",
                    flush=True,
                )
                shutil.rmtree(trial.home)
    print("\n| killed while | kills |\n| --- | --- |")
    for stage, kills in sorted(died.items()):
        print(f"| {stage} | {kills} |")
    print(f"| **all** | **{sum(died.values())}** |\n\nDifferences to nights that nobody disturbed: {ended or 'none'}.")
    return 1 if ended else 0


def _small(folder: Path, chance: random.Random) -> Iterator[Trial]:
    models = billing_models.compiled(folder / "models")
    nights = kill_home.undisturbed(folder / "undisturbed", models)
    number = 0
    while True:
        number += 1
        night = chance.choice(list(nights))
        home = Path(shutil.copytree(nights[night].before, folder / f"home-{number}"))
        kill_home.prepare(home, models, night)

        def run(after_seconds: float, home: Path = home, night: date = night) -> bool:
            try:
                kill_home.run(home, models, night, kill_home.Kill(seconds=after_seconds) if after_seconds else None)
            except kill_home.Killed:
                return True
            return False

        yield Trial(night, home, nights[night].after, nights[night].seconds, run)


def _whole(folder: Path) -> Iterator[Trial]:
    before, after = folder / "before", folder / "after"
    _nightly(before / "home", BASE)
    shutil.copytree(before, after)
    before_it = _children_seconds()
    _nightly(after / "home", CLOSE)
    seconds = _children_seconds() - before_it
    number = 0
    while True:
        number += 1
        home = Path(shutil.copytree(before, folder / f"home-{number}"))

        def run(after_seconds: float, home: Path = home) -> bool:
            return _nightly(home / "home", CLOSE, after_seconds)

        yield Trial(CLOSE, home, after, seconds, run)


def _nightly(home: Path, night: date, after_seconds: float = 0.0) -> bool:
    """Run the command line; kill it after so many seconds (0: not at all). Whether it was killed."""
    command = [sys.executable, "-m", "loompin.cli", "nightly", "--date", night.isoformat()]
    environment = {**os.environ, "LOOMPIN_HOME": str(home), "LOOMPIN_SOURCE": str(PROJECT_ROOT / "seeds")}
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=told, stderr=told) as process,
    ):
        while after_seconds and process.poll() is None:
            if kill_home.cpu_seconds(process.pid) >= after_seconds:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return True
            time.sleep(0.005)
        process.wait()
        if process.returncode != 0:
            told.seek(0)
            raise SystemExit(f"the night {night} failed:\n{told.read().decode()[-3000:]}")
    return False


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _stage(trial: Trial) -> str:
    """How far a killed night had come, told by what it left."""
    settings = Settings(home=trial.home / "home")
    record = Record(settings.raw)
    if any(night.night == trial.night for night in record.nights()):
        return "writing PDFs" if invoice_pdfs.missing(settings) else "all written, not ended"
    pending = record.pending()
    if pending is None:
        return "starting or landing"
    return "publishing" if pending.run_id else "deriving or building the published file"


if __name__ == "__main__":
    sys.exit(main())
