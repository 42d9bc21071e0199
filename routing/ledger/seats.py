"""Seats: what only one process may do at a time, and how others learn that it died.

A seat is a session lock of PostgreSQL on a connection of its own: when the process or its connection dies, the seat is free at once.
With SQLite there is one process anyhow, and every seat is granted. Needs a direct connection or a pooler in session mode.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from routing.ledger.engine import Ledger
from routing.ledger.locks import key_of

# Alone, or with others that do not want to be alone either.
_TRY = {False: text("SELECT pg_try_advisory_lock(:key)"), True: text("SELECT pg_try_advisory_lock_shared(:key)")}
_FREE = {False: text("SELECT pg_advisory_unlock(:key)"), True: text("SELECT pg_advisory_unlock_shared(:key)")}
_TRY_FOR_NOW = text("SELECT pg_try_advisory_xact_lock(:key)")


class Seat:
    """One seat, by name. ``take`` tries, ``held`` asks the database whether it is still ours, ``leave`` gives it up."""

    def __init__(self, ledger: Ledger, name: str, *, shared: bool = False) -> None:
        """``shared``: any number may sit there as long as nobody has it alone."""
        self._ledger, self.name, self._shared = ledger, name, shared
        self._conn: Connection | None = None
        self._alone = ledger.is_sqlite
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether the seat is ours now. Does not wait. Raises SQLAlchemyError when the database cannot be asked."""
        if self._alone:
            return True
        with self._lock:
            if self._conn is not None:
                return self._still()
            conn = self._ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                if conn.scalar(_TRY[self._shared], {"key": key_of(self.name)}):
                    self._conn = conn
                    return True
            finally:
                if self._conn is None:
                    conn.close()
            return False

    def held(self) -> bool:
        """Whether the seat is still ours: False once its connection was lost."""
        if self._alone:
            return True
        with self._lock:
            return self._conn is not None and self._still()

    def _still(self) -> bool:
        assert self._conn is not None
        try:
            self._conn.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self._drop(self._conn)
            self._conn = None
            return False
        return True

    def leave(self) -> None:
        """Gives the seat up; whoever waits may take it."""
        with self._lock:
            if self._conn is not None:
                self._drop(self._conn)
                self._conn = None

    def _drop(self, conn: Connection) -> None:
        try:
            conn.execute(_FREE[self._shared], {"key": key_of(self.name)})
        except SQLAlchemyError:
            pass  # the connection is gone, and the lock with it
        try:
            conn.invalidate()  # never back into the pool: a lock must not outlive its seat there
        finally:
            conn.close()


def vacant(conn: Connection, name: str) -> bool:
    """Whether nobody holds the seat; if so it stays vacant until this transaction ends. SQLite: always."""
    return conn.dialect.name != "postgresql" or bool(conn.scalar(_TRY_FOR_NOW, {"key": key_of(name)}))


@contextmanager
def seated(ledger: Ledger, name: str, stop: threading.Event, look_seconds: float = 1.0) -> Iterator[Seat | None]:
    """Waits for a seat until ``stop``; None when stopped first. The seat is left at the end of the block."""
    seat = Seat(ledger, name)
    try:
        while not seat.take():
            if stop.wait(look_seconds):
                yield None
                return
        yield seat
    finally:
        seat.leave()
