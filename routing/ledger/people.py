"""Who is off, paused or not present: entered day by day, without touching the policy.

An entry is never changed. One that is taken back, or a pause that is over, is ended by a later entry, so that it stays to be seen who
knew what, and when. Every entry and every report of presence raises one number, ``version``: a process that decides looks whether it
has grown before each batch, and builds what it knows anew.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Row, select, update

from routing.core.availability.known import Absence, Known, Presence
from routing.ledger import locks
from routing.ledger.schema import absence, from_ms, position, presence, to_ms
from routing.ledger.sql import add_rows, upsert
from rules.moments import at_the_latest, ending

_VERSION = select(position.c.cursor).where(position.c.system == "fingerpost", position.c.stream == "absence")
_LOCK = "absence"
_ended = absence.alias()
_ENDED = select(_ended.c.number).where(_ended.c.of == absence.c.number)


class Entry(Struct, frozen=True):
    """An absence as it was entered, and how it was ended, if it was."""

    absence: Absence
    ended_by: str = ""
    ended_at: datetime | None = None
    ended_because: str = ""


def version(conn: Connection) -> int:
    """The number of the newest entry or report, 0 before the first."""
    return int(conn.scalar(_VERSION) or 0)


def known(conn: Connection, now: datetime) -> Known:
    """What counts from ``now`` on: what is neither over nor ended."""
    number = version(conn)  # first: what is entered meanwhile may be in the rows, and must not be missing for good
    return Known(number, _absences(conn, now, ~_ENDED.exists()), _reports(conn))


def known_then(conn: Connection, at: datetime) -> Known:
    """What counted at a time gone by, as it was known then; of presence only reports that were not followed by others."""
    so_far = (absence.c.at_ms <= to_ms(at)) & ~_ENDED.where(_ended.c.at_ms <= to_ms(at)).exists()
    return Known(0, _absences(conn, at, so_far), tuple(one for one in _reports(conn) if one.at <= at))


def _absences(conn: Connection, at: datetime, where: ColumnElement[bool]) -> tuple[Absence, ...]:
    not_over = absence.c.until_ms.is_(None) | (absence.c.until_ms > to_ms(at))
    rows = conn.execute(select(absence).where(absence.c.kind != "end", not_over, where).order_by(absence.c.number))
    return tuple(_absence(row) for row in rows)


def _reports(conn: Connection) -> tuple[Presence, ...]:
    return tuple(_presence(row) for row in conn.execute(select(presence).order_by(presence.c.number)))


def history(conn: Connection, person: str, limit: int = 100) -> list[Entry]:
    """What was ever entered about a person, the newest first."""
    rows = conn.execute(
        select(absence, _ended.c.author.label("by"), _ended.c.at_ms.label("when_ms"), _ended.c.reason.label("because"))
        .outerjoin(_ended, _ended.c.of == absence.c.number)
        .where(absence.c.person == person, absence.c.kind != "end")
        .order_by(absence.c.number.desc())
        .limit(limit)
    )
    return [
        Entry(_absence(row), row.by or "", None if row.when_ms is None else from_ms(row.when_ms), row.because or "")
        for row in rows
    ]


def enter(
    conn: Connection,
    person: str,
    kind: Literal["off", "pause"],
    begins: str,
    ends: str,
    *,
    author: str,
    reason: str,
    now: datetime,
) -> Absence:
    """Says that somebody is off or paused. ``begins`` and ``ends`` as in ``Absence``. Raises ValueError for what is no moment."""
    until = at_the_latest(ending(ends)) if ends else None
    number = _next(conn)
    entry = Absence(number, person, kind, begins, ends, reason, author, now)
    row = {"number": number, "person": person, "kind": kind, "begins": begins, "ends": ends, "of": None}
    until_ms = None if until is None else to_ms(until)
    add_rows(conn, absence, [{**row, "until_ms": until_ms, "reason": reason, "author": author, "at_ms": to_ms(now)}])
    return entry


def end(conn: Connection, entries: Collection[Absence], *, author: str, reason: str, now: datetime) -> int:
    """Ends absences from now on; one that is to come never happens. Call ``holding.hurry`` for who waits for these people.

    Returns how many there were to end: somebody else may have been quicker.
    """
    ended = 0
    locks.take(conn, [_LOCK])
    for entry in sorted(entries, key=lambda one: one.number):
        if conn.scalar(select(absence.c.number).where(absence.c.of == entry.number)) is not None:
            continue
        row = {
            "number": _next(conn),
            "person": entry.person,
            "kind": "end",
            "of": entry.number,
            "begins": "",
            "ends": "",
        }
        add_rows(conn, absence, [{**row, "until_ms": 0, "reason": reason, "author": author, "at_ms": to_ms(now)}])
        ended += 1
    return ended


def report(
    conn: Connection,
    person: str,
    available: bool,
    status: str,
    until: datetime | None,
    source: str,
    at: datetime,
    now: datetime,
) -> bool:
    """Stores what was seen of somebody's presence at ``at``, ``now`` or before. Returns False where something newer is known, or what was is
    seen again. What was stored for a time to come is not newer: the clock was set back since.

    For somebody who is there again call ``holding.hurry``.
    """
    locks.take(conn, [_LOCK])
    stored = conn.execute(select(presence).where(presence.c.person == person)).first()
    before = None if stored is None else _presence(stored)
    if before is not None:
        if at < before.at <= now:
            return False
        if (available, status, until, source) == (before.available, before.status, before.until, before.source):
            # What was seen before this is older now, though it comes later.
            conn.execute(update(presence).where(presence.c.person == person).values(at_ms=to_ms(at)))
            return False
    row = {"person": person, "number": _next(conn), "available": int(available), "status": status, "source": source}
    upsert(conn, presence, [{**row, "until_ms": None if until is None else to_ms(until), "at_ms": to_ms(at)}])
    return True


def forget(conn: Connection, person: str) -> None:
    """Takes out all that was entered about a person (a legal erasure)."""
    _next(conn)
    conn.execute(absence.delete().where(absence.c.person == person))
    conn.execute(presence.delete().where(presence.c.person == person))


def changed(conn: Connection) -> None:
    """Lets every process that decides look again."""
    _next(conn)


def _next(conn: Connection) -> int:
    """The next number. Numbers are given one at a time: whoever sees one has seen all before it."""
    locks.take(conn, [_LOCK])
    number = version(conn) + 1
    row = {"system": "fingerpost", "stream": "absence", "cursor": str(number).encode(), "updated_ms": 0}
    upsert(conn, position, [row])
    return number


def _absence(row: Row[Any]) -> Absence:
    return Absence(row.number, row.person, row.kind, row.begins, row.ends, row.reason, row.author, from_ms(row.at_ms))


def _presence(row: Row[Any]) -> Presence:
    until = None if row.until_ms is None else from_ms(row.until_ms)
    at = from_ms(row.at_ms)
    return Presence(row.number, row.person, bool(row.available), row.status, until, row.source, at)
