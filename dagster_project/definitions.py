"""The code location that `workspace.yaml` loads: the definitions of the warehouse that the environment names."""

from dagster_project.build import build

defs = build()
