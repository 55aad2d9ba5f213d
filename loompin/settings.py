"""Where the warehouse reads from and writes to: the only place that knows environment variables and file names.

Nothing is created when this module is imported; `Settings.prepare()` makes the folders of a home.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT = PROJECT_ROOT / "dbt_project"
EXPECTATIONS = PROJECT_ROOT / "expectations"


class Settings(BaseSettings):
    """Settings of one warehouse, read from `LOOMPIN_*` variables and from `.env` in the working directory.

    `source` is the folder of source files, `home` holds everything that a run writes, `key` is the secret of the
    pseudonyms (made once in the home if it is not set), `alert_urls` are apprise URLs, separated by commas.
    """

    model_config = SettingsConfigDict(env_prefix="LOOMPIN_", env_file=".env", extra="ignore")

    source: Path = PROJECT_ROOT / "seeds"
    home: Path = PROJECT_ROOT / "data"
    key: SecretStr | None = None
    alert_urls: SecretStr | None = Field(default=None)

    @field_validator("source", "home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def raw(self) -> Path:
        """The record: landed Parquet files and what each night accepted. Append-only."""
        return self.home / "raw"

    @property
    def warehouse(self) -> Path:
        """The private DuckDB file that a night works in. Derived: it may be deleted."""
        return self.home / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        """The DuckDB file that analysts open."""
        return self.home / "published" / "analytics.duckdb"

    @property
    def metrics(self) -> Path:
        """The metrics of the published file: MetricFlow's semantic manifest, beside it."""
        return self.published.with_name("semantic_manifest.json")

    @property
    def invoices(self) -> Path:
        """A PDF of each final invoice, made once and never written again. Its owner only may read them."""
        return self.home / "invoices"

    @property
    def docs(self) -> Path:
        """dbt docs and Data Docs."""
        return self.home / "docs"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME: run history and event log."""
        return self.home / "dagster"

    @property
    def dbt_target(self) -> Path:
        """dbt's target folder: manifest and partial parse."""
        return self.home / "dbt" / "target"

    @property
    def dbt_logs(self) -> Path:
        """dbt's log folder."""
        return self.home / "dbt" / "logs"

    @property
    def scratch(self) -> Path:
        """Warehouses of nights that are recomputed for comparison, and other files that a run may delete."""
        return self.home / "scratch"

    @property
    def published_months(self) -> Path:
        """Months of published tables, so that those that did not change need not be written and read again."""
        return self.home / "published_months.duckdb"

    @property
    def lock_file(self) -> Path:
        """Held while a run writes to this home."""
        return self.home / ".lock"

    @property
    def key_file(self) -> Path:
        """The secret of the pseudonyms, if the environment does not bring it."""
        return self.home / ".key"

    def prepare(self) -> None:
        """Make the folders of the home. Those that hold raw data are readable by their owner only."""
        for folder in (self.home, self.published.parent, self.docs):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.raw, self.invoices, self.dagster_home, self.dbt_target, self.dbt_logs, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.raw, self.invoices, self.scratch, self.dagster_home, self.home / "dbt"):
            folder.chmod(0o700)
