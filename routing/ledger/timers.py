"""Timers: records to be looked at again. A timer that is due becomes a ``tick`` event in the same transaction that ends it.

``purpose`` says what for: ``hold`` (the record waits for somebody to take it; one timer a record) or ``sla`` (a step of a clock is
due; the timer has the clock's id). The tick's ``occurred_at`` is when the timer was due, however late it fires, its ``origin`` the
purpose, its ``cursor`` the timer's id. A waiting timer costs a row and nothing else: only those that are due are looked at.

Timers of clocks fire in the order they were due, also those that only come up by doing a step. So a clock whose step has fired keeps its
row until that is done: as a ``next`` one, due when its next step may be (``planning.next_due``), ``since_ms`` the moment of the step
at work. No clock's timer that is due later fires before.

Where what stops a clock may not be told by the CRM (``planning.looks``), those fields are read first: an event without values goes
before the tick, and both wait until the completer has read them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Row, bindparam, delete, func, select, true, update

from routing.core.model import ChangeEvent, Timer, derived_id
from routing.core.sla.model import OPEN, ClockState
from routing.core.sla.planning import LOOK
from routing.ledger import journal, locks
from routing.ledger.schema import clock, from_ms, ref_of, split_ref, timer, to_ms
from routing.ledger.sql import chunks, one_of, upsert

HOLD, SLA, NEXT = "hold", "sla", "next"
PURPOSES = (HOLD, SLA)  # those that fire
# For so long others wait for a step whose record must be read first: its CRM may be away.
UNREAD = timedelta(minutes=1)
FIRED = 2000  # at a time: some tenths of a second of work for one transaction

_CLEAR = delete(timer).where(one_of(timer.c.ref, "refs"), timer.c.purpose == bindparam("purpose"))
_CLOCKS = (
    select(clock.c.ref, clock.c.body)
    .where(one_of(clock.c.ref, "refs"), clock.c.state.in_(OPEN))
    .order_by(clock.c.started_ms, clock.c.clock_id)
)
_FREE = select(timer.c.timer_id).where(one_of(timer.c.timer_id, "ids")).with_for_update(skip_locked=True)
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
# Of a clock whose step is due then, and of all of its record that are open: when a step of theirs may be due next.
NextDue = Callable[[ClockState, Sequence[ClockState], datetime], datetime | None]

_decode = msgspec.json.Decoder(ClockState).decode


def fire(
    conn: Connection,
    now: datetime,
    limit: int = FIRED,
    purposes: Sequence[str] = PURPOSES,
    looks: Looks | None = None,
    next_due: NextDue | None = None,
) -> int:
    """Turns up to ``limit`` due timers of those purposes into tick events, in the order they were due. Returns how many.

    Of those due at one time the highest rank goes first, then who waits longest: so a holding queue empties itself.
    ``looks``: by system and clock, the fields to be read before its ticks are decided. With ``next_due`` the timers of clocks stop
    before the moment at which a step may come up by what was fired, now or before, and is not done yet: call again.
    """
    locks.take(conn, ["timers"])  # what another process fires now may come before
    until = _undone(conn, now) if next_due is not None and SLA in purposes else None
    rows = conn.execute(
        select(timer)
        .where(timer.c.due_ms <= to_ms(now), timer.c.purpose.in_(purposes))
        .where((timer.c.purpose == HOLD) | (timer.c.due_ms <= until) if until is not None else true())
        .order_by(timer.c.due_ms, timer.c.rank.desc(), timer.c.since_ms, timer.c.timer_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    clocks = _clocks(conn, [row.ref for row in rows if row.purpose == SLA]) if looks or next_due is not None else {}
    undone: list[dict[str, Any]] = []
    if next_due is not None:
        rows, undone = _in_order(rows, clocks, next_due)
    read = _to_read(rows, clocks, looks) if looks else {}
    ticks = [_tick(row, now, complete=row.ref not in read) for row in rows]
    # Those to be read have been due first, and so are completed first.
    first = {
        tick.cursor: _look(tick, fields)
        for tick, row in zip(ticks, rows, strict=True)
        if (fields := read.pop(row.ref, ()))
    }
    events = [event for tick in ticks for event in (first.get(tick.cursor), tick) if event is not None]
    journal.accept(conn, events, now)
    upsert(conn, timer, undone)
    remove(conn, {row.timer_id for row in rows} - {row["timer_id"] for row in undone})
    return len(ticks)


def _undone(conn: Connection, now: datetime) -> int | None:
    """The first moment (ms) by which a step may come up that must be done before others, since the step before it is not done yet."""
    query = select(timer).where(timer.c.purpose == NEXT, timer.c.due_ms <= to_ms(now)).order_by(timer.c.due_ms)
    while rows := conn.execute(query.limit(100)).all():
        ids = {row.timer_id: _tick_id(row.timer_id, row.since_ms) for row in rows}
        at_work = journal.unsettled(conn, list(ids.values()), now - UNREAD)
        over: list[str] = []
        for row in rows:
            if ids[row.timer_id] in at_work:
                _drop(conn, over)
                return int(row.due_ms)
            over.append(row.timer_id)
        if not _drop(conn, over):
            return None  # somebody is just at all of them
    return None


def _drop(conn: Connection, timer_ids: Collection[str]) -> int:
    """Removes what nobody waits for any more: a step that was parked, or can be done only when its CRM is back."""
    free = conn.scalars(_FREE, {"ids": sorted(timer_ids)}).all() if timer_ids else ()
    remove(conn, free)
    return len(free)


def _in_order(
    rows: Sequence[Row[Any]], clocks: Mapping[str, Sequence[ClockState]], next_due: NextDue
) -> tuple[list[Row[Any]], list[dict[str, Any]]]:
    """Those of the timers that no other can come before, and of which of them the rows stay, as what they are then."""
    going: list[Row[Any]] = []
    undone: list[dict[str, Any]] = []
    until: int | None = None
    for row in rows:
        if row.purpose == SLA:
            if until is not None and row.due_ms > until:
                continue
            of_record = clocks.get(row.ref, ())
            state = next((one for one in of_record if one.clock_id == row.timer_id), None)
            after = next_due(state, of_record, from_ms(row.due_ms)) if state is not None else None
            if after is not None:
                due_ms = to_ms(after)
                undone.append({**row._mapping, "purpose": NEXT, "due_ms": due_ms, "since_ms": row.due_ms})
                until = due_ms if until is None else min(until, due_ms)
        going.append(row)
    return going, undone


def _clocks(conn: Connection, refs: Sequence[str]) -> dict[str, list[ClockState]]:
    """The open clocks of those records."""
    found: dict[str, list[ClockState]] = defaultdict(list)
    for some in chunks(sorted(set(refs))):
        for ref, body in conn.execute(_CLOCKS, {"refs": some}):
            found[ref].append(_decode(body))
    return found


def _tick_id(timer_id: str, due_ms: int) -> str:
    return derived_id("tick", timer_id, str(due_ms))


def _tick(row: Row[Any], now: datetime, complete: bool) -> ChangeEvent:
    system, entity, record_id = split_ref(row.ref)
    return ChangeEvent(
        event_id=_tick_id(row.timer_id, row.due_ms),
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


def _to_read(
    rows: Sequence[Row[Any]], clocks: Mapping[str, Sequence[ClockState]], looks: Looks
) -> dict[str, tuple[str, ...]]:
    """By ref, the fields of records that are to be read before their clocks' steps."""
    names = {one.clock_id: one.name for of_record in clocks.values() for one in of_record}
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
    firsts = [conn.scalar(select(func.min(timer.c.due_ms)).where(timer.c.purpose == purpose)) for purpose in PURPOSES]
    return max([0.0, *((to_ms(now) - int(first)) / 1000 for first in firsts if first is not None)])


def hurry(conn: Connection, purpose: str, now: datetime) -> int:
    """Makes all timers of a purpose due now: a new policy may know what to do with what is on hold."""
    where = (timer.c.purpose == purpose) & (timer.c.due_ms > to_ms(now))
    return int(conn.execute(update(timer).where(where).values(due_ms=to_ms(now))).rowcount)


def count(conn: Connection) -> int:
    """Timers waiting."""
    return int(conn.scalar(select(func.count()).select_from(timer)) or 0)
