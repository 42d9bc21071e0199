"""Hands everything that hangs on records over to the one that they were merged into (``routing.core.succession``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import Connection

from routing.core.filing import filed
from routing.core.keys import keys
from routing.core.merge import merge
from routing.core.model import ChangeEvent, Record, Timer, derived_id
from routing.core.succession import clocks_of, ended, gone_into, heir, predecessor
from routing.ledger import clocks, holding, locks, match_corrections, match_index, mirror, outbox, pools, timers
from routing.ledger.journal import Entry
from routing.ledger.schema import ref_of
from rules.policy import Policy

log = structlog.get_logger()


def alone(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The front part up to an event whose record goes on where others were; that event is taken by itself, so that all the others see
    what it came to."""
    for n, entry in enumerate(entries):
        if entry.event.continues:
            return entries[: max(n, 1)]
    return entries


def take_over(conn: Connection, event: ChangeEvent, policy: Policy, now: datetime) -> None:
    """Before the event is decided: mirror, ownership, waiting, clocks, writes still owed, and what people said of its account pass to
    its record. Nothing happens the second time. A record that was known as one of its own is one of those that may go on: it does
    unless the owner that it has now is another's. What only comes later of those that went finds them gone. ``shares.hold_all`` goes
    before."""
    ref = ref_of(event.system, event.entity, event.record_id)
    refs = [ref_of(event.system, event.entity, one) for one in event.continues]
    found = mirror.load(conn, {ref, *refs})
    own, known = found.get(ref), [found[one] for one in refs if one in found]
    if own is not None and (own.deleted or set(event.continues) <= set(own.took_over)):
        return
    strangers = [
        Record(system=event.system, entity=event.entity, record_id=one)
        for one, name in zip(event.continues, refs, strict=True)
        if name not in found
    ]
    _store(conn, [(None, merge(None, told)[0]) for told in gone_into(event, strangers)], policy)
    lived = [own] if own is not None and own.announced else []
    of = predecessor(event, [*lived, *known])
    if of is None or not known:
        return
    left = known if of is own else [*lived, *known]
    people: list[Record | ChangeEvent] = [*lived, *known, event]
    locks.take(conn, sorted({f"email:{name}" for one in people for kind, name in _keys(one) if kind == "email"}))
    made = heir(event, of, own)
    gone = [merge(one, told)[0] for one, told in zip(known, gone_into(event, known), strict=True)]
    _store(conn, [(own, made), *zip(known, gone, strict=True)], policy)
    _hand_on_clocks(conn, event, made, of, left, policy)
    old = [mirror.ref(one) for one in left]
    holding.clear(conn, old)
    timers.clear(conn, old)
    if made.on_hold and of is not own:
        timers.save(conn, [_look_at(event, made, now)])
    for one in old:
        outbox.follow(conn, one, event.record_id, ref, now, heir=one == mirror.ref(of))
    there = [mirror.ref(one) for one in known]
    for one in there:
        match_corrections.follow_record(conn, one, ref)
        if event.entity == "account":
            match_corrections.follow(conn, one, ref)
            pools.follow_bonds(conn, f"account:{one.rsplit(':', 1)[1]}", f"account:{event.record_id}")
    log.info("a record goes on for others", record=ref, continues=there, of=mirror.ref(of))


def _keys(one: Record | ChangeEvent) -> frozenset[tuple[str, str]]:
    if isinstance(one, Record):
        return keys(one)
    return keys(Record(system=one.system, entity=one.entity, record_id=one.record_id, values=one.values))


def _store(conn: Connection, moves: Sequence[tuple[Record | None, Record]], policy: Policy) -> None:
    mirror.save(conn, [(after, keys(after)) for _, after in moves], policy)
    changes = [match_index.Change(mirror.ref(after), filed(before), filed(after)) for before, after in moves]
    match_index.save(conn, sorted(changes, key=lambda change: change.ref))


def _hand_on_clocks(
    conn: Connection, event: ChangeEvent, made: Record, of: Record, known: Sequence[Record], policy: Policy
) -> None:
    for one in known:
        ref = mirror.ref(one)
        mine = clocks.of_record(conn, ref)
        if one is of:
            old, new = clocks_of(made, of, mine, policy)
            clocks.hand_on(conn, old, new, ref, mirror.ref(made))
        else:
            clocks.save(conn, [ended(state, event, policy) for state in mine if state.open])


def _look_at(event: ChangeEvent, made: Record, now: datetime) -> Timer:
    """What waited is looked at now: it waits on under its new name, or is given to somebody."""
    return Timer(
        timer_id=derived_id(event.event_id, "hold"),
        purpose=timers.HOLD,
        system=made.system,
        entity=made.entity,
        record_id=made.record_id,
        due_at=now,
        since=datetime.fromisoformat(made.held_since),
    )
