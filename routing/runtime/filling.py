"""How far the first fill of each system is, in the ledger: for every process to tell, for ``fingerpost doctor``, and to go on from."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from connectors.contract import Page
from routing.core.model import ChangeEvent
from routing.ledger import journal

DONE = "backfill"  # names the position that says that it is
BEHIND = "backfill of "  # and an entity: names the position behind the last page stored of it
_SO_FAR = "backfill so far"


class SoFar(msgspec.Struct, frozen=True):
    """What was read of a system: of which entity last, how many records in all, and the connector's words for where it is."""

    entity: str = ""
    records: int = 0
    reached: str = ""

    def __str__(self) -> str:
        where = f", {self.reached}" if self.reached else ""
        return f"{self.records:,} records so far, now {self.entity}{where}" if self.entity else "nothing is read yet"


def behind(conn: Connection, system: str, entity: str) -> str:
    """The cursor behind which a fill goes on, "" at the beginning."""
    return (journal.get_position(conn, system, BEHIND + entity) or b"").decode()


def so_far(conn: Connection, system: str) -> SoFar:
    """What was read, restarts or not."""
    told = journal.get_position(conn, system, _SO_FAR)
    return SoFar() if told is None else msgspec.json.decode(told, type=SoFar)


def note(conn: Connection, system: str, entity: str, page: list[ChangeEvent], now: datetime) -> SoFar:
    """A page was stored: the fill goes on behind it."""
    before = so_far(conn, system)
    cursor = page.cursor if isinstance(page, Page) else ""
    if page and not cursor:
        cursor = page[-1].cursor or page[-1].record_id
    if cursor:
        journal.set_position(conn, system, BEHIND + entity, cursor.encode(), now)
    reached = (page.reached if isinstance(page, Page) else "") or (before.reached if before.entity == entity else "")
    after = SoFar(entity, before.records + len(page), reached)
    journal.set_position(conn, system, _SO_FAR, msgspec.json.encode(after), now)
    return after


def done(conn: Connection, system: str) -> bool:
    """Whether the first fill is."""
    return journal.get_position(conn, system, DONE) is not None


def unfilled(conn: Connection, systems: Collection[str]) -> dict[str, str]:
    """Those of the systems whose first fill is not done, and how far it is, in words."""
    return {name: str(so_far(conn, name)) for name in sorted(systems) if not done(conn, name)}
