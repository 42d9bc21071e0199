"""Timers: records to be looked at again. A timer that is due becomes a ``tick`` event in the same transaction that ends it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from routing.core.model import ChangeEvent, Timer, derived_id
from routing.ledger import journal
from routing.ledger.schema import from_ms, ref_of, split_ref, timer, to_ms
from routing.ledger.sql import chunks, one_of, upsert

_CLEAR = delete(timer).where(one_of(timer.c.ref, "refs"))


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
            }
            for t in timers
        ],
    )


def clear(conn: Connection, refs: Collection[str]) -> None:
    """Removes the timers of records that no longer wait."""
    for some in chunks(list(refs)):
        conn.execute(_CLEAR, {"refs": some})


def fire(conn: Connection, now: datetime, limit: int = 500) -> int:
    """Turns up to ``limit`` due timers into tick events, in the order they were due. Returns how many."""
    rows = conn.execute(
        select(timer)
        .where(timer.c.due_ms <= to_ms(now))
        .order_by(timer.c.due_ms, timer.c.timer_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    events = []
    for row in rows:
        system, entity, record_id = split_ref(row.ref)
        events.append(
            ChangeEvent(
                event_id=derived_id("tick", row.timer_id, str(row.due_ms)),
                system=system,
                entity=entity,
                record_id=record_id,
                kind="tick",
                occurred_at=from_ms(row.due_ms),
                observed_at=now,
                origin=row.purpose,
            )
        )
    journal.accept(conn, events, now)
    for some in chunks([row.timer_id for row in rows]):
        conn.execute(delete(timer).where(timer.c.timer_id.in_(some)))
    return len(events)


def due(conn: Connection, now: datetime) -> bool:
    """Whether any timer is due."""
    return conn.scalar(select(timer.c.timer_id).where(timer.c.due_ms <= to_ms(now)).limit(1)) is not None


def hurry(conn: Connection, purpose: str, now: datetime) -> int:
    """Makes all timers of a purpose due now: a new policy may know what to do with what is on hold."""
    where = (timer.c.purpose == purpose) & (timer.c.due_ms > to_ms(now))
    return int(conn.execute(update(timer).where(where).values(due_ms=to_ms(now))).rowcount)


def count(conn: Connection) -> int:
    """Timers waiting."""
    return int(conn.scalar(select(func.count()).select_from(timer)) or 0)
