"""What an event, and the decision on it, does to a record's clocks. Pure; called for each event in the order of their settling.

A clock that starts when a record is assigned is its owner's: it ends when the record goes to somebody else, whose own clock then
starts. Any other clock is the record's, and goes on whoever has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from routing.core.directory import Directory
from routing.core.model import ChangeEvent, Record, derived_id
from routing.core.sla import machine
from routing.core.sla.model import ClockState, Standing
from routing.core.sla.planning import SLA, hours, marks, over
from routing.core.sla.retiming import retimed
from rules.sla.model import Clock

if TYPE_CHECKING:
    from routing.core.planned import Plan
    from routing.core.settle import Settled
    from rules.policy import Policy

_GONE = frozenset({"deleted", "merged", "erased"})
_WHOLE = frozenset({"created", "restored"})


def follow(
    event: ChangeEvent,
    record: Record,
    plan: Plan,
    settled: Settled,
    clocks: Sequence[ClockState],
    policy: Policy,
    directory: Directory,
    now: datetime,
) -> tuple[ClockState, ...]:
    """The clocks that the event changed, as they are after it; also those that it started. ``record`` is as the event left it."""
    if not clocks and not policy.clocks:
        return ()
    known = {one.clock_id: one for one in clocks if one.open}
    after = dict(known)
    what = _Follower(event, record, plan, settled, policy, directory, now)
    for clock_id, state in known.items():
        after[clock_id] = what.moved(state)
    running = {one.name for one in after.values() if one.open}
    for started in what.started(running, [one.name for one in after.values() if not one.open]):
        after[started.clock_id] = started
    return tuple(one for one in after.values() if one is not known.get(one.clock_id))


class _Follower:
    """One event, with what was decided on it."""

    def __init__(
        self,
        event: ChangeEvent,
        record: Record,
        plan: Plan,
        settled: Settled,
        policy: Policy,
        directory: Directory,
        now: datetime,
    ) -> None:
        self.event, self.record, self.plan, self.settled, self.now = event, record, plan, settled, now
        self.policy, self.directory = policy, directory
        made = settled.decision
        # Whether it was decided who has the record; else a person moved it, if anybody did.
        self.chosen = made is not None and made.outcome != "none"
        self.over = set[str]()  # the clocks that ended since there is nothing left to do
        self.owner = self._owner_after()

    def _owner_after(self) -> str | None:
        """Who has the record after the event; None when it does not say. "" is nobody, or a queue."""
        made = self.settled.decision
        if made is not None and made.outcome in ("assign", "keep"):
            return made.owner
        if made is not None and made.outcome == "hold" and self.plan.passed:
            return ""  # it was taken from whoever had it
        if "owner" in self.event.changed or self.event.kind in _WHOLE:
            return self.plan.owner
        return None

    def moved(self, state: ClockState) -> ClockState:
        """An open clock after the event."""
        event, clock = self.event, self.policy.clocks.get(state.name)
        if event.kind in _GONE:
            return self._close(state, event.occurred_at, "ended", "the record is gone", clock)
        if clock is None:
            return self._close(state, self.now, "ended", f"sla.yaml has no clock '{state.name}' any more", None)
        if state.limit != clock.limit:
            state = retimed(state, self.policy, self.now)  # started by the former policy while this one went live
        passed_on = self.owner is not None and self.owner != state.person
        by_hand = passed_on and not self.chosen
        if state.name in self.plan.heard.stops and not (by_hand and clock.of_owner):
            return self._close(state, event.occurred_at, "stopped", _what(event), clock)
        done = None if self.settled.routed else over(self.record, state, self.policy)
        if done is not None:
            self.over.add(state.name)
            return self._close(state, done.at or event.occurred_at, "ended", done.why, clock)
        if event.kind == "tick" and event.cursor == state.clock_id and state.due_at == event.occurred_at:
            state, _ = machine.passed(state, event.occurred_at, marks(clock), hours(self.policy, clock, state.person))
        if passed_on:
            if clock.of_owner:
                return self._close(state, self._when_moved(), "ended", self._why_moved(), clock)
            state = self._handed_over(state, clock)
        time = hours(self.policy, clock, state.person)
        if clock.pauses_on_hold and self.settled.on_hold:
            return machine.pause(state, self._when_moved(), "the record is on hold", time)
        return machine.resume(state, self._when_moved(), marks(clock), time)

    def _handed_over(self, state: ClockState, clock: Clock) -> ClockState:
        """The record's clock goes on, by the hours of whoever has it now."""
        at = max(self._when_moved(), state.since)
        if state.state == "running":
            spent = machine.run_until(state, at, hours(self.policy, clock, state.person))
            state = replace(state, spent=spent, since=at)
        person = self.owner or ""
        return machine.timed(replace(state, person=person), marks(clock), hours(self.policy, clock, person))

    def _close(self, state: ClockState, at: datetime, how: Standing, why: str, clock: Clock | None) -> ClockState:
        time = hours(self.policy, clock, state.person) if clock is not None else machine.NO_TIME
        return machine.close(state, at, how, why, time)

    def _when_moved(self) -> datetime:
        """A decision moves at the time it was made, a person at that of the change; a clock's own timer when it was due."""
        if self.event.kind == "tick" and self.event.origin == SLA:
            return self.event.occurred_at
        return self.now if self.chosen else self.event.occurred_at

    def _why_moved(self) -> str:
        name = self.directory.name(self.owner) if self.owner else "nobody"
        if not self.chosen:
            return f"{name} has it now, by somebody's hand"
        return f"{name} has it now" if self.owner else "it was taken away"

    def started(self, running: Iterable[str], closed: Iterable[str]) -> list[ClockState]:
        """The clocks that begin with the event."""
        if self.event.kind in _GONE:
            return []
        heard, running, closed = self.plan.heard, set(running), set(closed)
        made = self.settled.decision
        assigned = made is not None and made.outcome == "assign" and bool(made.owner)
        found = []
        for clock in self.policy.clocks.values():
            if clock.entity != self.event.entity or clock.name in running or clock.name in heard.done:
                continue
            if clock.of_owner:
                # Where a person passes on what runs for them, it begins anew for the next one.
                passed_on = not self.chosen and bool(self.owner) and clock.name in closed - {*heard.stops, *self.over}
                begins = (assigned and clock.start.on == "assigned") or passed_on or clock.name in heard.starts
                at = self.now if self.chosen else self.event.occurred_at
            else:
                begins, at = clock.name in heard.starts, self.event.occurred_at
            if begins:
                found.append(self._new(clock, at))
        return found

    def _new(self, clock: Clock, at: datetime) -> ClockState:
        event, made = self.event, self.settled.decision
        person = self.owner if self.owner is not None else self.plan.owner
        if self.settled.on_hold:
            person = ""  # the CRM names whoever made it: nobody was given it yet
        state = ClockState(
            clock_id=derived_id(event.event_id, clock.name, "clock"),
            name=clock.name,
            system=event.system,
            entity=event.entity,
            record_id=event.record_id,
            person=person,
            pool=made.pool if made is not None else "",
            source=self.plan.source,
            decision_id=made.decision_id if made is not None else "",
            started_at=at,
            since=at,
            limit=clock.limit,
        )
        time = hours(self.policy, clock, person)
        if clock.pauses_on_hold and self.settled.on_hold:
            return machine.pause(state, at, "the record is on hold", time)
        return machine.timed(state, marks(clock), time)


def _what(event: ChangeEvent) -> str:
    """What stopped a clock, in a word."""
    if event.kind == "tick":
        return "what stops it was found done"
    if event.kind in ("accepted", "rejected"):
        return f"it was {event.kind}"
    named = ", ".join(event.changed[:3])
    return f"{named} changed" if named else f"the record was {event.kind}"
