"""The Loompin warehouse: contracts, landing, rules, privacy and publishing.

This package knows nothing of Dagster; `dagster_project` puts its functions into assets, checks and jobs.
"""
