"""SLA clocks, and who was given which record when: written in the transaction of the events that move them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from routing.core.model import Timer
from routing.core.sla.model import OPEN, ClockState
from routing.ledger import timers
from routing.ledger.schema import assignment, clock, ref_of, to_ms
from routing.ledger.sql import add_rows, change_rows, chunks, delete_rows, one_of, upsert

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ClockState).decode

_OPEN = (
    select(clock.c.ref, clock.c.body)
    .where(one_of(clock.c.ref, "refs"), clock.c.state.in_(OPEN))
    .order_by(clock.c.started_ms, clock.c.clock_id)
)
_ALL_OPEN = select(clock.c.body).where(clock.c.state.in_(OPEN)).execution_options(yield_per=1000)
_STILL_OPEN = select(clock.c.body).where(one_of(clock.c.clock_id, "ids"), clock.c.state.in_(OPEN))


class Given(msgspec.Struct, frozen=True):
    """A record was given to somebody, or put on hold (``person`` ""): by which decision, out of which pool, for the change that
    happened at ``occurred_ms``. ``fresh`` is 1 where that was the beginning, 0 where it waited before or was taken from somebody."""

    decision_id: str
    ref: str
    person: str
    pool: str
    source: str
    fresh: int
    occurred_ms: int
    decided_ms: int


def load(conn: Connection, refs: Collection[str]) -> dict[str, tuple[ClockState, ...]]:
    """The open clocks of those records, the oldest first."""
    found: dict[str, list[ClockState]] = defaultdict(list)
    for some in chunks(sorted(refs)):
        for ref, body in conn.execute(_OPEN, {"refs": some}):
            found[ref].append(_decode(body))
    return {ref: tuple(states) for ref, states in found.items()}


def to_change(conn: Connection, change: Callable[[ClockState], ClockState]) -> list[str]:
    """The ids of the open clocks of which ``change`` makes others."""
    states = (_decode(body) for body in conn.scalars(_ALL_OPEN))
    return sorted(state.clock_id for state in states if change(state) != state)


def change(conn: Connection, clock_ids: Collection[str], change: Callable[[ClockState], ClockState]) -> None:
    """Stores what ``change`` makes of those that are still open. ``shares.hold_all`` goes before."""
    states = [_decode(body) for body in conn.scalars(_STILL_OPEN, {"ids": sorted(clock_ids)})]
    save(conn, [after for state in states if (after := change(state)) != state])


def of_record(conn: Connection, ref: str) -> list[ClockState]:
    """All clocks a record ever had, the oldest first."""
    query = select(clock.c.body).where(clock.c.ref == ref).order_by(clock.c.started_ms, clock.c.clock_id)
    return [_decode(body) for body in conn.scalars(query)]


def save(conn: Connection, states: Iterable[ClockState]) -> None:
    """Stores clocks as they stand now, and sets or removes the timer of each; the last state of each counts."""
    latest = {state.clock_id: state for state in states}
    upsert(conn, clock, [_row(state) for state in latest.values()])
    timers.save(conn, [_timer(state) for state in latest.values() if state.due_at is not None])
    timers.remove(conn, [state.clock_id for state in latest.values() if state.due_at is None])


def hand_on(conn: Connection, old: Sequence[ClockState], new: Sequence[ClockState], ref: str, into: str) -> None:
    """A record's clocks, and who was given it, are those of another from now on: ``new`` are the clocks ``old`` as that one has them."""
    delete_rows(conn, clock, [{"clock_id": state.clock_id} for state in old])
    timers.remove(conn, [state.clock_id for state in old])
    save(conn, new)
    conn.execute(update(assignment).where(assignment.c.ref == ref).values(ref=into))


def _timer(state: ClockState) -> Timer:
    assert state.due_at is not None
    return Timer(
        timer_id=state.clock_id,
        purpose=timers.SLA,
        system=state.system,
        entity=state.entity,
        record_id=state.record_id,
        due_at=state.due_at,
    )


def _row(state: ClockState) -> dict[str, Any]:
    return {
        "clock_id": state.clock_id,
        "ref": ref_of(state.system, state.entity, state.record_id),
        "name": state.name,
        "state": state.state,
        "person": state.person,
        "pool": state.pool,
        "source": state.source,
        "started_ms": to_ms(state.started_at),
        "limit_ms": round(state.limit * 1000),
        "spent_ms": round(state.spent * 1000),
        "breached_ms": None if state.breached_at is None else to_ms(state.breached_at),
        "closed_ms": None if state.closed_at is None else to_ms(state.closed_at),
        "body": _encode(state).decode(),
    }


def give(conn: Connection, given: Sequence[Given]) -> None:
    """Remembers who was given what, and since when."""
    add_rows(conn, assignment, [msgspec.structs.asdict(one) for one in given])


def touch(conn: Connection, touched: dict[str, int]) -> None:
    """By ref, when a record was touched: that answers its last assignment, once."""
    rows = []
    for some in chunks(sorted(touched)):
        latest = (
            select(assignment.c.ref, assignment.c.decision_id, assignment.c.decided_ms, assignment.c.touched_ms)
            .where(assignment.c.ref.in_(some))
            .order_by(assignment.c.decided_ms, assignment.c.decision_id)
        )
        last = {row.ref: row for row in conn.execute(latest)}
        # A touch before the decision answers it at once: somebody was at it already.
        rows += [
            {"decision_id": row.decision_id, "touched_ms": max(touched[ref], row.decided_ms)}
            for ref, row in last.items()
            if row.touched_ms is None
        ]
    change_rows(conn, assignment, ("decision_id",), sorted(rows, key=lambda row: str(row["decision_id"])))


def counts(conn: Connection) -> dict[str, int]:
    """Clocks by state."""
    return {state: int(n) for state, n in conn.execute(select(clock.c.state, func.count()).group_by(clock.c.state))}
