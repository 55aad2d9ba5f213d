"""Assembles everything that Dagster knows of the warehouse from parts that are defined elsewhere."""

from __future__ import annotations

from typing import Any

import dagster as dg

from dagster_project import automation, manifest, models, night_run
from dagster_project.model_assets import model_assets
from dagster_project.publishing_assets import QUALITY_DOCS, publishing_assets
from dagster_project.refusal_checks import refusal_checks
from dagster_project.source_assets import known_rules, source_assets
from loompin import contracts
from loompin.settings import Settings


def build(settings: Settings | None = None, watch: night_run.Watch | None = None, **overrides: Any) -> dg.Definitions:
    """Assemble the definitions of one warehouse.

    Args:
        settings: where it reads and writes; from the environment if not given.
        watch: told of a run's progress and findings.
        overrides: arguments of `dagster.Definitions` to replace, so that a test can swap any part.
    """
    settings = settings or Settings()
    declared = contracts.load()
    derived = models.read(manifest.load(settings))
    parts: dict[str, Any] = {
        "assets": [
            source_assets(
                declared, known_rules(settings, declared), derived.landing_tables, derived.keys, [QUALITY_DOCS]
            ),
            model_assets(derived),
            *publishing_assets(declared, derived),
        ],
        "asset_checks": [refusal_checks()],
        "jobs": [automation.nightly_job, automation.land_early_job],
        "schedules": [automation.nightly_schedule],
        "sensors": [automation.new_files_sensor(settings), automation.failure_sensor(settings)],
        "resources": {night_run.RESOURCE: night_run.resource(settings, watch)},
        "executor": dg.in_process_executor,
    }
    return dg.Definitions(**{**parts, **overrides})
