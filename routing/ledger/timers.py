"""Timers: records to be looked at again. A timer that is due becomes a ``tick`` event in the same transaction that ends it.

``purpose`` says what for: ``hold`` (the record waits for somebody to take it; one timer a record) or ``sla`` (a step of a clock is
due; the timer has the clock's id). The tick's ``occurred_at`` is when the timer was due, however late it fires, its ``origin`` the
purpose, its ``cursor`` the timer's id. A waiting timer costs a row and nothing else: only those that are due are looked at.

Where what stops a clock may not be told by the CRM (``planning.looks``), those fields are read first: an event without values goes
before the tick, and both wait until the completer has read them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from routing.core.model import ChangeEvent, Timer, derived_id
from routing.core.sla.planning import LOOK
from routing.ledger import journal
from routing.ledger.schema import clock, from_ms, ref_of, split_ref, timer, to_ms
from routing.ledger.sql import chunks, one_of, upsert

HOLD, SLA = "hold", "sla"
PURPOSES = (HOLD, SLA)
FIRED = 2000  # at a time: some tenths of a second of work for one transaction

_CLEAR = delete(timer).where(one_of(timer.c.ref, "refs"), timer.c.purpose == bindparam("purpose"))
_NAMES = select(clock.c.clock_id, clock.c.name).where(one_of(clock.c.clock_id, "ids"))
_REMOVE = delete(timer).where(one_of(timer.c.timer_id, "ids"))


def save(conn: Connection, timers: Sequence[Timer]) -> None:
    """Sets timers; one that has the same id is moved."""
    upsert(
        conn,
        timer,
        [
            {
                "timer_id": t.timer_id,
                "purpose": t.purpose,
                "ref": ref_of(t.system, t.entity, t.record_id),
                "due_ms": to_ms(t.due_at),
                "rank": t.rank,
                "since_ms": to_ms(t.since or t.due_at),
            }
            for t in timers
        ],
    )


def clear(conn: Connection, refs: Collection[str], purpose: str = HOLD) -> None:
    """Removes the timers that records have for that purpose."""
    for some in chunks(sorted(refs)):
        conn.execute(_CLEAR, {"refs": some, "purpose": purpose})


def remove(conn: Connection, timer_ids: Collection[str]) -> None:
    """Removes timers by their ids; those that are not there are no mistake."""
    for some in chunks(sorted(timer_ids)):
        conn.execute(_REMOVE, {"ids": some})


Looks = Mapping[tuple[str, str], Sequence[str]]


def fire(
    conn: Connection, now: datetime, limit: int = FIRED, purposes: Sequence[str] = PURPOSES, looks: Looks | None = None
) -> int:
    """Turns up to ``limit`` due timers of those purposes into tick events, in the order they were due. Returns how many.

    Of those due at one time the highest rank goes first, then who waits longest: so a holding queue empties itself.
    ``looks``: by system and clock, the fields to be read before its ticks are decided.
    """
    rows = conn.execute(
        select(timer)
        .where(timer.c.due_ms <= to_ms(now), timer.c.purpose.in_(purposes))
        .order_by(timer.c.due_ms, timer.c.rank.desc(), timer.c.since_ms, timer.c.timer_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    read = _to_read(conn, rows, looks) if looks else {}
    ticks = [_tick(row, now, complete=row.ref not in read) for row in rows]
    # Those to be read have been due first, and so are completed first.
    first = {
        tick.cursor: _look(tick, fields)
        for tick, row in zip(ticks, rows, strict=True)
        if (fields := read.pop(row.ref, ()))
    }
    events = [event for tick in ticks for event in (first.get(tick.cursor), tick) if event is not None]
    journal.accept(conn, events, now)
    remove(conn, [row.timer_id for row in rows])
    return len(ticks)


def _tick(row: Row[Any], now: datetime, complete: bool) -> ChangeEvent:
    system, entity, record_id = split_ref(row.ref)
    return ChangeEvent(
        event_id=derived_id("tick", row.timer_id, str(row.due_ms)),
        system=system,
        entity=entity,
        record_id=record_id,
        kind="tick",
        occurred_at=from_ms(row.due_ms),
        observed_at=now,
        origin=row.purpose,
        cursor=row.timer_id,
        complete=complete,
    )


def _to_read(conn: Connection, rows: Sequence[Row[Any]], looks: Looks) -> dict[str, tuple[str, ...]]:
    """By ref, the fields of records that are to be read before their clocks' steps."""
    clocks = [row.timer_id for row in rows if row.purpose == SLA]
    names = {
        clock_id: name for some in chunks(sorted(clocks)) for clock_id, name in conn.execute(_NAMES, {"ids": some})
    }
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        fields = looks.get((split_ref(row.ref)[0], names.get(row.timer_id, "")))
        if fields:
            found[row.ref].update(fields)
    return {ref: tuple(sorted(fields)) for ref, fields in found.items()}


def _look(tick: ChangeEvent, fields: Sequence[str]) -> ChangeEvent:
    """What the record holds now counts as if it had been so when the step was due: whoever worked it has the benefit of the doubt."""
    event_id = derived_id(tick.event_id, LOOK)
    return replace(
        tick, event_id=event_id, kind="updated", changed=tuple(fields), origin=LOOK, cursor="", complete=False
    )


def due(conn: Connection, now: datetime, purposes: Sequence[str] = PURPOSES) -> bool:
    """Whether any timer of those purposes is due."""
    where = (timer.c.due_ms <= to_ms(now)) & timer.c.purpose.in_(purposes)
    return conn.scalar(select(timer.c.timer_id).where(where).limit(1)) is not None


def late(conn: Connection, now: datetime) -> float:
    """For how many seconds the timer that is due longest has been due; 0 when none is."""
    first = conn.scalar(select(func.min(timer.c.due_ms)))
    return max(0.0, (to_ms(now) - int(first)) / 1000) if first is not None else 0.0


def hurry(conn: Connection, purpose: str, now: datetime) -> int:
    """Makes all timers of a purpose due now: a new policy may know what to do with what is on hold."""
    where = (timer.c.purpose == purpose) & (timer.c.due_ms > to_ms(now))
    return int(conn.execute(update(timer).where(where).values(due_ms=to_ms(now))).rowcount)


def count(conn: Connection) -> int:
    """Timers waiting."""
    return int(conn.scalar(select(func.count()).select_from(timer)) or 0)
