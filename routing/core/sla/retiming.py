"""What another policy means to the clocks that run when it goes live: they are timed by it from then on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from routing.core.sla.machine import TOLERANCE, resume, run_until, timed
from routing.core.sla.model import ClockState
from routing.core.sla.planning import due_after, hours, marks
from rules.sla.model import Clock

if TYPE_CHECKING:
    from rules.policy import Policy


def retimed(state: ClockState, policy: Policy, now: datetime) -> ClockState:
    """A clock as a policy that goes live now has it; the same where that changes neither its limit nor when it is next due.

    The time that it has run counts. What the new policy would have had done before is due now, and what was done is not done
    again. One that is paused goes on where the policy pauses it no more. A clock that the policy does not have any more is left to the next event, which ends it.
    """
    clock = policy.clocks.get(state.name)
    if clock is None or not state.open:
        return state
    time = hours(policy, clock, state.person)
    ahead, limit = marks(clock), clock.limit
    reached = state.reached if limit == state.limit else _reached(state, clock)
    fresh = timed(replace(state, limit=limit, reached=reached), ahead, time)
    if not clock.pauses_on_hold and state.state == "paused":
        return resume(fresh, now, ahead, time)
    if (fresh.limit, fresh.due_at) == (state.limit, state.due_at):
        return state
    if state.state == "paused":
        return fresh
    why = f"timed anew at {now:%Y-%m-%d %H:%M:%S} UTC, when another policy went live"
    # Ticks are known by when they were due: later than any of this clock that has fired.
    at = max(now, state.since) + timedelta(milliseconds=1)
    return timed(replace(fresh, spent=run_until(state, at, time), since=at, why=why), ahead, time)


def _reached(state: ClockState, clock: Clock) -> float:
    """The last mark of the new limit before which nothing is left to do: a step at a part of the time was done where that part of the
    old limit had passed. Where the order of steps changes one may be done twice; none is left out."""
    steps = [(due_after(one, clock), one.at if one.at is not None else one.part * state.limit) for one in clock.steps]
    reached = -1.0
    for mark, before in sorted([*steps, (clock.limit, state.limit)]):
        if before > state.reached + TOLERANCE:
            break
        reached = mark
    return reached
