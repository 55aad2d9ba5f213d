"""Dagster's event log in SQLite, with the cost of an event cut down. Each is stored, in the usual tables and order.

Dagster opens a new SQLAlchemy engine and a new file handle for each statement, inspects the schema for each asset
event, and waits for the disk at each commit; with some four thousand events a night that takes longer than dbt. Here a
shard's connection is kept, the schema is inspected once, and SQLite's write-ahead log is not synced at each commit (a
commit survives a crash of the process; a power cut can lose the last ones, never corrupt the log). What is stored, and
where, is the parent's.

`KeptConnectionsStorage` is named in `dagster.yaml`. Nothing here knows the warehouse.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as db
from dagster import Field, StringSource
from dagster._config import UserConfigSchema
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

_OPEN_SHARDS = 8


class KeptConnectionsEventLogStorage(SqliteEventLogStorage):
    """`SqliteEventLogStorage` that keeps the connections of the shards used last."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._open: dict[str, Connection] = {}
        self._tables: dict[str, bool] = {}
        super().__init__(base_dir, inst_data)
        # What follows in a thread while it holds a transaction is part of that transaction.
        self._db_lock = threading.RLock()  # type: ignore[assignment]

    def _engine(self, shard: str) -> Engine:
        engine = self._engines.get(shard)
        if engine is None:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
            )
            db.event.listen(engine, "connect", _no_sync_at_commit)
            self._engines[shard] = engine
            while len(self._engines) > _OPEN_SHARDS:
                self._engines.popitem(last=False)[1].dispose()
        self._engines.move_to_end(shard)
        return engine

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        # One thread at a time, as in the parent, so that threads can share a connection. Within a thread, what is asked
        # for inside of a transaction is part of it.
        with self._db_lock:
            if shard in self._open:
                yield self._open[shard]
                return
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                self._open[shard] = connection
                try:
                    yield connection
                finally:
                    del self._open[shard]

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event and all that the index keeps of it, in one transaction of each of the two files."""
        with self._connect(event.run_id), self._connect(INDEX_SHARD_NAME):
            super().store_event(event)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events that come together in one transaction of each file."""
        with contextlib.ExitStack() as transactions:
            for shard in {*(event.run_id for event in events), INDEX_SHARD_NAME}:
                transactions.enter_context(self._connect(shard))
            super().store_event_batch(events)

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; looked up once, as tables come with a migration only."""
        if not self._tables.get(table_name):
            self._tables[table_name] = super().has_table(table_name)
        return self._tables[table_name]

    @functools.cached_property
    def supports_asset_checks(self) -> bool:
        """Whether the index has the table of check executions; looked up once."""
        return bool(super().supports_asset_checks)

    def _has_asset_key_index_cols_on_connection(self, _conn: Connection) -> bool:
        return True

    def upgrade(self) -> None:
        """Migrate the log and forget what was looked up before."""
        super().upgrade()
        self._tables.clear()

    def wipe(self) -> None:
        """Delete every event and close the files, which are deleted too."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close the files."""
        super().dispose()
        self._close()

    def _close(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()


class KeptConnectionsStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage with that event log; runs and schedules, a few rows each, are stored as usual.

    It stands in DAGSTER_HOME unless the configuration says where; where there is neither (`dagster definitions
    validate` on its own), in a folder that goes with the process.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = KeptConnectionsEventLogStorage(str(Path(base_dir, "history", "runs")))

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """The block in `dagster.yaml`: where the files stand."""
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> KeptConnectionsStorage:
        """Make the storage from its block in `dagster.yaml`."""
        folder = config_value.get("base_dir") or os.environ.get("DAGSTER_HOME")
        return cls.from_local(folder or _passing_folder(), inst_data=inst_data)


@functools.lru_cache(maxsize=1)
def _passing_folder() -> str:
    folder = tempfile.TemporaryDirectory(prefix="loompin-dagster-")
    atexit.register(folder.cleanup)
    return folder.name


def _no_sync_at_commit(connection: Any, _record: Any) -> None:
    connection.execute("pragma synchronous = normal")
