"""Switches off what the libraries would report to their makers: dbt, Dagster and Great Expectations.

Environment variables only, so that subprocesses inherit them. It imports none of those libraries and must be called
before they are imported. Dagster's main switch is `telemetry.enabled` in `dagster.yaml`; the one here covers its
uploader too.
"""

from __future__ import annotations

import os

_OFF = {
    "DO_NOT_TRACK": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "false",
}


def disable() -> None:
    """Switch telemetry off for this process and its children. A value that the user has set already is kept."""
    for name, value in _OFF.items():
        os.environ.setdefault(name, value)
