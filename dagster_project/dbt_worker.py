"""The dbt process of a run: it loads dbt, waits for its arguments on standard input, and becomes that dbt command.

Started while the source files are still being landed, so that the seconds dbt takes to load are not waited for. Without
arguments (the run failed before) it ends. It dies with the run that started it: a dbt left behind would go on writing
to the warehouse after the run's lock is free.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Load dbt and its adapter, then run the command that the first line of standard input names (JSON array)."""
    _die_with_parent(int(sys.argv[1]))
    from dbt.adapters.factory import FACTORY
    from dbt.cli.main import cli

    FACTORY.load_plugin("duckdb")
    line = sys.stdin.readline()
    if not line:
        return
    sys.argv = ["dbt", *json.loads(line)]
    cli()


if __name__ == "__main__":
    main()
