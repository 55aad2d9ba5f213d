"""Dagster definitions of the Loompin warehouse: assets, checks, jobs, schedules and sensors that call `loompin`.

Start at `definitions`. No business logic belongs here.
"""

import os
import warnings

from loompin import telemetry

telemetry.disable()

# Events that Dagster emits together (what a run plans, the nights of a backfill) are stored in one transaction.
os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")

# Code references and owners of jobs are beta in Dagster; its release is pinned, and each asset would warn.
warnings.filterwarnings("ignore", message=r".* is currently in beta")
