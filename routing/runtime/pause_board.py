"""The ledger as the board on which processes tell each other what a system asked them to wait for, and that it is well again, restarts
or not."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from connectors.patience import Asked
from routing.ledger import journal, locks
from routing.ledger.engine import Ledger, is_lost
from routing.runtime.clock import utcnow

_ASKED, _WELL = "asked to wait", "well again"  # name the positions that hold it


class PauseBoard:
    """``connectors.patience.Board``. While the ledger is lost each process knows only what it was asked itself; that the ledger is lost
    is told by whoever watches it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def asked(self, name: str) -> Asked | None:
        """What was posted last under the name. One read of the ledger."""
        try:
            with self._ledger.read() as conn:
                return _posted(conn, name)
        except SQLAlchemyError as error:
            if not is_lost(error):
                raise
            return None

    def post(self, name: str, asked: Asked) -> None:
        """Tells the others, unless what they know lasts longer. Waits for its turn to write."""
        try:
            with self._ledger.write() as conn:
                locks.take(conn, [f"{_ASKED}:{name}"])
                known = _posted(conn, name)
                if known is None or known.left(asked.at) < asked.seconds:
                    journal.set_position(conn, name, _ASKED, msgspec.json.encode(asked), asked.at)
        except SQLAlchemyError as error:
            if not is_lost(error):
                raise

    def well_since(self, system: str) -> bytes | None:
        """What was posted last of an outage's end: another value with each. None while nothing was, or the ledger is lost."""
        try:
            with self._ledger.read() as conn:
                return journal.get_position(conn, system, _WELL)
        except SQLAlchemyError as error:
            if not is_lost(error):
                raise
            return None

    def post_well(self, system: str) -> None:
        """Tells whoever waits for the end of an outage that the system answers. Waits for its turn to write."""
        now = utcnow()
        try:
            with self._ledger.write() as conn:
                journal.set_position(conn, system, _WELL, now.isoformat().encode(), now)
        except SQLAlchemyError as error:
            if not is_lost(error):
                raise


def _posted(conn: Connection, name: str) -> Asked | None:
    stored = journal.get_position(conn, name, _ASKED)
    return None if stored is None else msgspec.json.decode(stored, type=Asked)
