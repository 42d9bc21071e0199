"""Clocks over random histories: whatever the order and the delay in which things are told, the account is the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core.availability.hours import ALWAYS, Calendar, Weekly
from routing.core.sla import machine
from routing.core.sla.model import ClockState

START = datetime(2026, 3, 26, 8, 0, tzinfo=UTC)  # clocks go forward three days later in Europe
CALENDARS: tuple[Calendar, ...] = (
    ALWAYS,
    Weekly((((540, 1020),),) * 5 + ((), ()), ZoneInfo("Europe/Berlin")),
    Weekly((((1320, 1800),),) * 7, ZoneInfo("Asia/Kathmandu")),  # at night, in a zone of +05:45
)

calendars = st.sampled_from(CALENDARS)
minutes = st.integers(0, 3 * 24 * 60)


def began(limit: float) -> ClockState:
    return ClockState(
        clock_id="c", name="n", system="s", entity="lead", record_id="1", started_at=START, since=START, limit=limit
    )


def after(n: int) -> datetime:
    return START + timedelta(minutes=n)


@settings(max_examples=60)
@given(calendar=calendars, turns=st.lists(minutes, unique=True, max_size=8), end=minutes)
def test_a_clock_has_run_as_long_as_it_was_not_paused(calendar: Calendar, turns: list[int], end: int) -> None:
    state, since, expected = machine.timed(began(1e6), [], calendar), START, 0.0
    for n, at in enumerate(sorted(turns)):
        if n % 2 == 0:
            state = machine.pause(state, after(at), "", calendar)
            expected += calendar.elapsed(since, after(at))
        else:
            state, since = machine.resume(state, after(at), [], calendar), after(at)
    last = after(max([end, *turns]))
    if len(turns) % 2 == 0:
        expected += calendar.elapsed(since, last)
    assert machine.close(state, last, "stopped", "", calendar).spent == pytest.approx(expected, abs=0.001)


@settings(max_examples=60)
@given(
    calendar=calendars,
    limit=st.integers(1, 20),
    marks=st.lists(st.integers(0, 30), max_size=5),
    done=minutes,
    fired=st.integers(0, 8),
)
def test_late_timers_change_no_verdict(calendar: Calendar, limit: int, marks: list[int], done: int, fired: int) -> None:
    """However many of the timers fired before it was told that it was done, also those due after that."""
    seconds = [mark * 3600.0 for mark in marks]
    state = machine.timed(began(limit * 3600.0), seconds, calendar)
    plain = machine.close(state, after(done), "stopped", "", calendar)
    for _ in range(fired):
        if state.due_at is not None:
            state, _ = machine.passed(state, state.due_at, seconds, calendar)
    told = machine.close(state, after(done), "stopped", "", calendar)
    assert (told.breached_at is None, told.spent) == (plain.breached_at is None, pytest.approx(plain.spent))


@settings(max_examples=60)
@given(calendar=calendars, limit=st.integers(1, 40), marks=st.lists(st.integers(0, 60), max_size=6), pause=minutes)
def test_every_mark_is_passed_once_and_in_order_and_never_before_its_time(
    calendar: Calendar, limit: int, marks: list[int], pause: int
) -> None:
    seconds = [mark * 1800.0 for mark in marks]
    state, found, held = machine.timed(began(limit * 1800.0), seconds, calendar), [], False
    while state.due_at is not None:
        if not held and state.due_at > after(pause):
            held = True
            state = machine.pause(state, after(pause), "", calendar)
            state = machine.resume(state, after(pause + 600), seconds, calendar)
            continue
        due = state.due_at
        assert machine.run_until(state, due - timedelta(seconds=1), calendar) < state.limit or state.breached_at
        state, reached = machine.passed(state, due, seconds, calendar)
        assert reached, "a timer fired, and nothing was due"
        found += reached
    assert found == sorted({*seconds, state.limit})
