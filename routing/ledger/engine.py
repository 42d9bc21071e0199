"""Opening the ledger: the engine, its settings for SQLite, and bringing the schema up to date."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30


class LedgerError(Exception):
    """The ledger cannot be opened, or is not in the shape this version needs. The text says what to do."""


class Ledger:
    """The one durable store. ``write()`` is the one transaction; ``read()`` sees committed data only.

    SQLite takes one writer at a time, so writers of this process queue on a lock instead of on the file.
    """

    def __init__(self, url: str) -> None:
        """``url``: an SQLAlchemy URL. Opens lazily; call ``upgrade`` before first use."""
        self.url = url
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if parsed.database in (None, "", ":memory:"):
                raise LedgerError("The ledger must be a file: what is kept in memory is lost with the process.")
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        self.engine = _engine(url, self.is_sqlite)
        self._writers = threading.RLock() if self.is_sqlite else None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end of the block, or rolls back whole when anything raises."""
        if self._writers is None:
            with self.engine.begin() as conn:
                yield conn
            return
        with self._writers, self.engine.begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only view of what is committed; never waits for a writer."""
        with self.engine.connect().execution_options(fingerpost_read=True) as conn:
            yield conn

    def upgrade(self) -> None:
        """Creates the schema, or migrates an older one. Raises LedgerError; refuses a ledger of a newer version."""
        try:
            known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
            with self.engine.connect().execution_options(fingerpost_read=True) as conn:
                current = MigrationContext.configure(conn).get_current_revision()
            if current is not None and current not in known:
                raise LedgerError(
                    f"The ledger {self.engine.url!r} was written by a newer version of Fingerpost (schema {current}). "
                    "Run that version, or restore a backup made by this one."
                )
            command.upgrade(self._alembic(), "head")
        except SQLAlchemyError as error:
            raise LedgerError(
                f"The ledger {self.engine.url!r} cannot be opened: {getattr(error, 'orig', None) or error}. "
                "Check that the folder exists, is writable, and has free space."
            ) from error

    def _alembic(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["engine"] = self.engine
        return config

    def close(self) -> None:
        """Closes all connections; with SQLite the write-ahead log is folded into the file."""
        self.engine.dispose()


def _engine(url: str, is_sqlite: bool) -> Engine:
    if not is_sqlite:
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, pool_size=10, max_overflow=10
    )

    @event.listens_for(engine, "connect")
    def _settings(dbapi: Any, _record: Any) -> None:
        # We say BEGIN ourselves (below); the driver's own would come too late for a consistent read.
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a committed event survives a power cut, not only a crash
        cursor.execute("PRAGMA secure_delete=ON")  # what was erased at a person's request is not left in free pages
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-32768")
        cursor.execute("PRAGMA mmap_size=268435456")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        # IMMEDIATE takes the write lock at once: upgrading a read lock later fails with "database is locked".
        reading = conn.get_execution_options().get("fingerpost_read")
        conn.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
