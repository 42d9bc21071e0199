"""Opening the ledger: the engines, their settings, what their errors mean, and bringing the schema up to date."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import takewhile
from os import getpid, urandom
from pathlib import Path
from socket import gethostname
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, delete, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from routing.ledger.schema import position
from routing.ledger.sql import upsert

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30
# A transaction that others were in the way of is tried so often.
TRIES = 10
_SOON = wait_random_exponential(multiplier=0.005, max=0.5)
# A peer that is gone without a word is noticed after some 20 seconds, on our side …
_CONNECTING = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# … and on the server's, so that what it held is free again. Nobody may hold locks idly, or wait for one for ever.
_SESSION = """
SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 20000;
SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '60s'; SET idle_session_timeout = 0;
SELECT set_config('default_toast_compression', 'lz4', false) FROM pg_settings
WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
"""

T = TypeVar("T")


class LedgerError(Exception):
    """The ledger cannot be opened, or is not in the shape this version needs. The text says what to do."""


class LedgerAway(LedgerError):
    """The ledger's server does not let anybody in now. Trying again later helps; no other LedgerError goes away by itself."""


class Ledger:
    """The one durable store. ``write()`` is the one transaction; ``read()`` sees committed data only.

    SQLite takes one writer at a time, so writers of this process queue on a lock instead of on the file.
    """

    def __init__(self, url: str) -> None:
        """``url``: an SQLAlchemy URL. Opens lazily; call ``upgrade`` before first use."""
        self.url = url
        parsed = _parsed(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if parsed.database in (None, "", ":memory:"):
                raise LedgerError("The ledger must be a file: what is kept in memory is lost with the process.")
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        self.engine = _sqlite(parsed) if self.is_sqlite else _postgresql(parsed)
        self.name = parsed.set(
            query={}
        ).render_as_string()  # for messages: no password, and no option that may hold one
        # All that one ``read`` reads is of one moment; SQLite's transactions are so by nature.
        self._reading: dict[str, Any] = (
            {"fingerpost_read": True}
            if self.is_sqlite
            else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        self._unflushed = self.engine.execution_options(fingerpost_unflushed=True)
        self._writers = threading.RLock() if self.is_sqlite else None
        # Called with the error of every transaction that failed because the ledger is lost.
        self.on_lost: Callable[[BaseException], None] = lambda _error: None

    @contextmanager
    def write(self, *, flush: bool = True) -> Iterator[Connection]:
        """A transaction that commits at the end of the block, or rolls back whole when anything raises.

        Without ``flush`` SQLite does not wait for the disk: a power cut may take the transaction back, whole, with all that came
        after it. The next transaction that is flushed flushes it too (https://sqlite.org/pragma.html#pragma_synchronous). PostgreSQL
        flushes all.
        """
        engine = self.engine if flush else self._unflushed
        with self._noticing(), self._writers or nullcontext(), engine.begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only view of what was committed when it began; never waits for a writer."""
        with self._noticing(), self.engine.connect().execution_options(**self._reading) as conn:
            yield conn

    def repeated(self, work: Callable[[Connection], T], *also: type[Exception], flush: bool = True) -> T:
        """Runs ``work`` in a ``write()``; again, in a new one, when another process came in between (a deadlock, a lost race, or an
        error of the types ``also``). ``work`` must not have changed anything else that a second run would not change alike.
        """

        def once() -> T:
            with self.write(flush=flush) as conn:
                return work(conn)

        again = retry_if_exception(lambda error: is_conflict(error) or isinstance(error, also))
        return Retrying(retry=again, wait=_SOON, stop=stop_after_attempt(TRIES), reraise=True)(once)

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            if is_lost(error):
                self.on_lost(error)
            raise

    def checkpoint(self) -> None:
        """Copies SQLite's write-ahead log back as far as nobody reads it, so that no commit has to wait for that. PostgreSQL does so
        by itself."""
        if self.is_sqlite:
            with self._noticing(), self.engine.connect().execution_options(fingerpost_bare=True) as conn:
                conn.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def probe(self) -> None:
        """Writes something that needs room, and takes it away again. Raises SQLAlchemyError when that cannot be done."""
        row = {"system": "", "stream": "probe", "cursor": urandom(65_536), "updated_ms": 0}
        with self.write() as conn:
            upsert(conn, position, [row])
        with self.write() as conn:
            conn.execute(delete(position).where(position.c.system == ""))

    def upgrade(self) -> None:
        """Creates the schema, or migrates an older one. Raises LedgerError; refuses a ledger of a newer version."""
        try:
            known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
            with self.engine.connect().execution_options(**self._reading) as conn:
                current = MigrationContext.configure(conn).get_current_revision()
            if current is not None and current not in known:
                raise LedgerError(
                    f"The ledger {self.name} was written by a newer version of Fingerpost (schema {current}). "
                    "Run that version, or restore a backup made by this one."
                )
            command.upgrade(self._alembic(), "head")
        except SQLAlchemyError as error:
            raise LedgerError(
                f"The ledger {self.name} cannot be opened: {str(getattr(error, 'orig', None) or error).strip()}. {self._hint()}"
            ) from error

    def _hint(self) -> str:
        if self.is_sqlite:
            return "Check that the folder exists, is writable, and has free space."
        return "Check that the server runs, that the database exists, and that the user may create tables in it."

    def _alembic(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["engine"] = self.engine
        return config

    def close(self) -> None:
        """Closes all connections; with SQLite the write-ahead log is folded into the file."""
        self.engine.dispose()


# What SQLite says when it is the file that is unwell, or the disk below it: busy, locked, readonly, ioerr, full, cantopen.
_SQLITE_LOST = frozenset({5, 6, 8, 10, 13, 14})
# What PostgreSQL says: connection, resources (disk full, too many clients), shutting down or starting, input/output, read-only,
# a transaction that lay idle, a lock that somebody holds on to.
_SQLSTATE_LOST = ("08", "53", "57P", "58", "25006", "25P03", "55P03")


def is_lost(error: BaseException) -> bool:
    """Whether it is the ledger that is unwell just now (cut off, restarting, read-only, full), not a statement that is wrong."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_LOST
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_SQLSTATE_LOST)
    # No answer of the server at all: it could not be reached, or the connection broke.
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


# psycopg gives no SQLSTATE for a connection that was not made, only libpq's text. A server that speaks another language is waited
# for, and its words are told meanwhile.
_TURNED_AWAY = re.compile(
    r"authentication failed for user|no password supplied|(role|database) \".*\" does not exist|no pg_hba\.conf entry"
    r"|not permitted to log in|permission denied for database|does not support SSL|certificate verify failed"
    r"|certificate file \".*\" does not exist|server certificate for \".*\" does not match"
)


def is_turned_away(error: BaseException) -> bool:
    """Whether PostgreSQL answers, and does not let in whom the ledger's URL says we are: waiting would not help."""
    return isinstance(error, OperationalError) and bool(_TURNED_AWAY.search(reason(error)))


def reason(error: BaseException) -> str:
    """What the database itself said: without the statement and its rows, which hold people."""
    return str(getattr(error, "orig", None) or type(error).__name__).strip()


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction was broken off because two stood in each other's way: the same again will do."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in ("40001", "40P01")


def is_refused(error: BaseException) -> bool:
    """Whether the ledger refuses a value (too long, not allowed, there already), while being well itself."""
    if isinstance(error, IntegrityError | DataError):
        return True
    return isinstance(error, DBAPIError) and str(getattr(error.orig, "sqlstate", None)).startswith(("22", "23", "54"))


def is_without_schema(error: BaseException) -> bool:
    """Whether a table or a column is missing: it is no ledger, or its schema is another version's."""
    if not isinstance(error, DBAPIError):
        return False
    missing = str(error.orig).startswith(("no such table", "no such column", "file is not a database"))
    return missing or getattr(error.orig, "sqlstate", None) in ("42P01", "42703")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        parsed.get_dialect()
    except SQLAlchemyError:
        # Not the text itself: there may be a password in it.
        raise LedgerError(
            "The ledger's URL cannot be read. It looks like sqlite:////var/lib/fingerpost/ledger.db or "
            "postgresql+psycopg://user:password@host:5432/database; characters such as @ and % in a password are written %40 and %25."
        ) from None
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise LedgerError(f"The ledger cannot be kept by {parsed.drivername!r}: name a sqlite:// or postgresql:// URL.")
    return parsed


def _postgresql(url: URL) -> Engine:
    # What the URL says itself goes before.
    options = {"application_name": _known_as()} | _CONNECTING
    options = {name: value for name, value in options.items() if name not in url.query}
    engine = create_engine(
        url,
        connect_args=options,
        isolation_level="READ COMMITTED",
        pool_size=10,
        max_overflow=20,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,  # a server that was restarted is met by a new connection, not by an error
        pool_use_lifo=True,
        hide_parameters=True,  # an error must not show the rows: they hold people
    )

    @event.listens_for(engine, "connect")
    def _settings(dbapi: Any, _record: Any) -> None:
        try:
            dbapi.execute(_SESSION)
            dbapi.commit()
        except Exception:
            dbapi.close()  # nobody else knows it yet
            raise

    @event.listens_for(engine, "checkin")
    def _as_the_server_says(dbapi: Any, _record: Any) -> None:
        # After a ``read`` the driver would say READ WRITE, even to a server that is read-only for now.
        if dbapi is not None and dbapi.read_only is not None:
            dbapi.read_only = None

    return engine


def _known_as() -> str:
    """What the server lists our connections as: which command, on which machine, so that an operator knows what to stop. The server
    keeps 63 letters."""
    words = [*takewhile(re.compile("[a-z][a-z-]*").fullmatch, sys.argv[1:3])]
    return f"{' '.join(['fingerpost', *words])}, process {getpid()} on {gethostname()}"


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=10,
        max_overflow=10,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _settings(dbapi: Any, _record: Any) -> None:
        # We say BEGIN ourselves (below); the driver's own would come too late for a consistent read.
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # ``checkpoint`` is called while a daemon runs; commits copy the log themselves only where it has grown to 32 MB.
        cursor.execute("PRAGMA wal_autocheckpoint=8000")
        cursor.execute("PRAGMA secure_delete=ON")  # what was erased at a person's request is not left in free pages
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-32768")
        cursor.execute("PRAGMA mmap_size=268435456")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        options = conn.get_execution_options()
        if options.get("fingerpost_bare"):
            return  # a checkpoint works outside of any transaction
        if options.get("fingerpost_read"):
            conn.exec_driver_sql("BEGIN")
            return
        # FULL: what is committed survives a power cut, not only a crash. It can be said only outside of a transaction.
        conn.exec_driver_sql(f"PRAGMA synchronous={'NORMAL' if options.get('fingerpost_unflushed') else 'FULL'}")
        # IMMEDIATE takes the write lock at once: upgrading a read lock later fails with "database is locked".
        conn.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
