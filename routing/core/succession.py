"""Records merged into one: it goes on where they were, and is no new one to be routed. Pure.

HubSpot merges into a new record, under an id of its own; Marketo into one of them, which keeps its id and is told as such. Salesforce
keeps one of the ids, too, and tells nothing of the others but that they are gone: that record goes on as it was and nothing here is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec.structs import replace

from routing.core.merge import DELETED, ERASED, RESTORED
from routing.core.model import ChangeEvent, Record, derived_id
from routing.core.sla.machine import NO_TIME, close, timed
from routing.core.sla.model import ClockState
from routing.core.sla.planning import hours, marks
from routing.core.times import parse_instant
from rules.policy import Policy

_EXISTENCE = frozenset({DELETED, RESTORED})


def predecessor(event: ChangeEvent, known: Collection[Record]) -> Record | None:
    """Which of the ``known`` records, the event's own or one that its ``continues`` names, is the one whose ownership, clocks and waiting
    go on: that of the owner it has now, among several its own, then the one named first. None where none is known."""
    by_id = {one.record_id: one for one in known if ERASED not in one.changed_at}
    # Those that went into one of the others before have nothing left.
    others = by_id.keys() - {event.record_id}
    before = {one.record_id for one in by_id.values() if not others.isdisjoint(one.into)}
    left = [by_id[one] for one in (event.record_id, *event.continues) if one in by_id and one not in before]
    owner = event.values.get("owner")
    return next((one for one in left if owner and one.values.get("owner") == owner), left[0] if left else None)


def heir(event: ChangeEvent, of: Record, own: Record | None) -> Record:
    """The event's record before the event, in the place of ``of``. ``own`` is what there was of it until now: values, or all that a record
    has."""
    took_over = tuple(dict.fromkeys([*(own.took_over if own is not None else ()), *event.continues]))
    if of is own:
        return replace(own, took_over=took_over)
    waits = of.on_hold or (of.deleted and bool(of.held_since))
    made = replace(
        of,
        record_id=event.record_id,
        values=dict(of.values),
        changed_at={name: at for name, at in of.changed_at.items() if name not in _EXISTENCE},
        sequences={name: number for name, number in of.sequences.items() if name not in _EXISTENCE},
        deleted=False,
        on_hold=waits,
        held_since=of.held_since if waits else "",
        into=(),
        took_over=took_over,
    )
    for name, at in own.changed_at.items() if own is not None else ():
        if own is not None and name in own.values and at > made.changed_at.get(name, ""):
            if made.changed_since is not None and made.values.get(name) != own.values[name]:
                made.changed_since = tuple(sorted({*made.changed_since, name}))
            made.values[name], made.changed_at[name] = own.values[name], at
            made.sequences.pop(name, None)
    return made


def clocks_of(
    made: Record, of: Record, clocks: Sequence[ClockState], policy: Policy
) -> tuple[tuple[ClockState, ...], tuple[ClockState, ...]]:
    """The clocks of ``of`` that go on with the heir ``made``, and the same as it has them: with the time spent so far."""
    gone = parse_instant(of.changed_at[DELETED]) if of.deleted else None
    old = [one for one in clocks if one.open or (gone is not None and _ended_with_it(one, gone))]
    return tuple(old), tuple(_handed_on(one, made, policy) for one in old)


def _ended_with_it(state: ClockState, gone: datetime) -> bool:
    """That it is gone may have been told before what became of it."""
    return state.state == "ended" and state.closed_at is not None and state.closed_at >= gone


def _handed_on(state: ClockState, made: Record, policy: Policy) -> ClockState:
    handed = replace(state, clock_id=derived_id(state.clock_id, made.record_id), record_id=made.record_id)
    clock = policy.clocks.get(state.name)
    if state.open or state.closed_at is None:
        return handed
    standing = "paused" if made.on_hold and clock is not None and clock.pauses_on_hold else "running"
    handed = replace(handed, state=standing, since=state.closed_at, closed_at=None, why="")
    return handed if clock is None else timed(handed, marks(clock), hours(policy, clock, state.person))


def ended(state: ClockState, event: ChangeEvent, policy: Policy) -> ClockState:
    """An open clock of one of the others, which does not go on."""
    clock = policy.clocks.get(state.name)
    time = NO_TIME if clock is None else hours(policy, clock, state.person)
    return close(state, event.occurred_at, "ended", f"its record went into {event.record_id}", time)


def gone_into(event: ChangeEvent, known: Sequence[Record]) -> list[ChangeEvent]:
    """What the merge means to those that went; of one that is told of only later, nothing but that it is gone will be known."""
    return [
        replace(
            event,
            event_id=derived_id(event.event_id, one.record_id),
            record_id=one.record_id,
            kind="merged",
            changed=(),
            values={},
            into=event.record_id,
            continues=(),
        )
        for one in known
    ]
