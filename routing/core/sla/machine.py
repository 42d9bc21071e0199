"""What can become of a clock: it runs, is paused, goes on, passes its marks, and is closed. Pure: each step answers a new state.

Every moment is that of the cause (when a timer was due, when the record was touched), not when somebody came to deal with it: so
the outcome is the same after an outage. A moment before the last one known (clocks that were set back, news told in another
order) counts as that one: no business time passes backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from routing.core.availability.hours import Calendar, Span
from routing.core.sla.model import ClockState, Standing

# Sums of business time miss whole seconds by far less than this.
TOLERANCE = 0.0005


class _NoTime(Calendar):
    def spans(self, after: float) -> Iterator[Span]:  # noqa: ARG002 - there is none
        return iter(())


# For a clock of which nobody knows any more whose hours it counted.
NO_TIME = _NoTime()


def run_until(state: ClockState, at: datetime, time: Calendar) -> float:
    """The business time it had run at that moment."""
    if state.state != "running" or at <= state.since:
        return state.spent
    return state.spent + time.elapsed(state.since, at)


def timed(state: ClockState, marks: Iterable[float], time: Calendar) -> ClockState:
    """With the moment of its next mark: one of ``marks`` or its limit, the first that was not dealt with."""
    if state.state != "running":
        return state if state.due_at is None else replace(state, due_at=None)
    ahead = [mark for mark in (*marks, state.limit) if mark > state.reached + TOLERANCE]
    due = _whole_ms(time.add(state.since, max(0.0, min(ahead) - state.spent))) if ahead else None
    return state if due == state.due_at else replace(state, due_at=due)


def pause(state: ClockState, at: datetime, why: str, time: Calendar) -> ClockState:
    """It stands still; no mark is passed meanwhile."""
    if state.state != "running":
        return state
    return replace(
        state,
        state="paused",
        spent=run_until(state, at, time),
        since=max(at, state.since),
        due_at=None,
        why=why,
    )


def resume(state: ClockState, at: datetime, marks: Iterable[float], time: Calendar) -> ClockState:
    """It goes on from where it stood."""
    if state.state != "paused":
        return state
    return timed(replace(state, state="running", since=max(at, state.since), why=""), marks, time)


def passed(state: ClockState, at: datetime, marks: Iterable[float], time: Calendar) -> tuple[ClockState, list[float]]:
    """At the moment a mark was due: the clock with the marks passed by then dealt with, and those marks, in order."""
    ran = run_until(state, at, time) + TOLERANCE
    found = sorted(mark for mark in {*marks, state.limit} if state.reached + TOLERANCE < mark <= ran)
    if not found:
        return timed(state, marks, time), []
    breached = at if state.limit <= found[-1] and state.breached_at is None else state.breached_at
    return timed(replace(state, reached=found[-1], breached_at=breached), marks, time), found


def close(state: ClockState, at: datetime, how: Standing, why: str, time: Calendar) -> ClockState:
    """It has come to its end. Whether it was in time goes by ``at``, even where a timer should have fired before or did."""
    if not state.open:
        return state
    ran = run_until(state, at, time)
    # Only what stopped it takes a breach back: that it was done in time, and told late.
    breached = state.breached_at if how == "ended" else None
    if ran > state.limit + TOLERANCE:
        breached = state.breached_at or _whole_ms(time.add(state.since, max(0.0, state.limit - state.spent)))
    return replace(
        state,
        state=how,
        spent=ran,
        closed_at=max(at, state.started_at),
        due_at=None,
        breached_at=breached,
        why=why,
    )


def _whole_ms(moment: datetime | None) -> datetime | None:
    """Timers are kept to the millisecond; the next whole one, so that the mark has been reached by then."""
    if moment is None:
        return None
    moment = moment.astimezone(UTC)
    beyond = moment.microsecond % 1000
    return moment + timedelta(microseconds=1000 - beyond) if beyond else moment
