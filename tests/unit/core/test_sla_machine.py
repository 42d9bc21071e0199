"""What can become of a clock, in business time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from routing.core.availability.hours import ALWAYS, Weekly
from routing.core.sla import machine
from routing.core.sla.model import ClockState

HOUR = 3600.0
BERLIN = ZoneInfo("Europe/Berlin")
NINE_TO_FIVE = Weekly((((540, 1020),),) * 5 + ((), ()), BERLIN)
FRIDAY = datetime(2026, 11, 20, 15, 0, tzinfo=BERLIN)


def began(at: datetime = FRIDAY, limit: float = 4 * HOUR) -> ClockState:
    return ClockState(
        clock_id="c", name="First touch", system="s", entity="lead", record_id="1", started_at=at, since=at, limit=limit
    )


def local(at: datetime | None) -> str:
    assert at is not None
    return f"{at.astimezone(BERLIN):%a %d %H:%M}"


def test_business_time_goes_on_after_the_weekend() -> None:
    running = machine.timed(began(), [3 * HOUR], NINE_TO_FIVE)
    assert local(running.due_at) == "Mon 23 10:00"
    assert running.due_at is not None
    after, reached = machine.passed(running, running.due_at, [3 * HOUR], NINE_TO_FIVE)
    assert (reached, after.breached_at, local(after.due_at)) == ([3 * HOUR], None, "Mon 23 11:00")
    assert after.due_at is not None
    late, reached = machine.passed(after, after.due_at, [3 * HOUR], NINE_TO_FIVE)
    assert (reached, local(late.breached_at), late.due_at, late.open) == ([4 * HOUR], "Mon 23 11:00", None, True)


def test_a_clock_that_stood_still_goes_on_from_where_it_stood() -> None:
    running = machine.timed(began(), [], NINE_TO_FIVE)
    held = machine.pause(running, FRIDAY + timedelta(hours=1), "on hold", NINE_TO_FIVE)
    assert (held.state, held.spent, held.due_at) == ("paused", HOUR, None)
    again = machine.resume(held, datetime(2026, 11, 24, 9, 0, tzinfo=BERLIN), [], NINE_TO_FIVE)
    assert (again.state, local(again.due_at)) == ("running", "Tue 24 12:00")


@pytest.mark.parametrize(("at", "late"), [("Mon 10:59", False), ("Mon 11:01", True)])
def test_what_counts_is_when_it_was_done_not_when_that_was_told(at: str, late: bool) -> None:
    """The timer was due on Monday at 11:00 and never fired: the daemon was down."""
    running = machine.timed(began(), [], NINE_TO_FIVE)
    done = datetime(2026, 11, 23, *map(int, at[4:].split(":")), tzinfo=BERLIN)
    closed = machine.close(running, done, "stopped", "touched", NINE_TO_FIVE)
    assert (closed.breached_at is not None) is late
    assert closed.spent == pytest.approx(4 * HOUR + (60 if late else -60))


def test_a_breach_is_taken_back_when_it_is_told_later_that_all_was_done_in_time() -> None:
    running = machine.timed(began(), [], NINE_TO_FIVE)
    assert running.due_at is not None
    breached, _ = machine.passed(running, running.due_at, [], NINE_TO_FIVE)
    assert breached.breached_at is not None
    closed = machine.close(breached, running.due_at - timedelta(minutes=5), "stopped", "touched", NINE_TO_FIVE)
    assert (closed.state, closed.breached_at) == ("stopped", None)


def test_steps_missed_in_an_outage_come_one_after_the_other() -> None:
    running = machine.timed(began(), [HOUR, 2 * HOUR], ALWAYS)
    moments, marks = [], []
    while running.due_at is not None:
        due = running.due_at
        running, reached = machine.passed(running, due, [HOUR, 2 * HOUR], ALWAYS)
        moments.append((due - FRIDAY).total_seconds())
        marks += reached
    assert moments == marks == [HOUR, 2 * HOUR, 4 * HOUR]


def test_a_clock_moved_back_an_hour_gives_no_time_back() -> None:
    running = machine.timed(began(), [], ALWAYS)
    held = machine.pause(running, FRIDAY + timedelta(hours=2), "on hold", ALWAYS)
    again = machine.resume(held, FRIDAY + timedelta(hours=1), [], ALWAYS)
    assert (again.spent, again.since) == (2 * HOUR, FRIDAY + timedelta(hours=2))
    closed = machine.close(again, FRIDAY + timedelta(minutes=90), "stopped", "touched", ALWAYS)
    assert closed.spent == 2 * HOUR


def test_a_step_at_once_is_due_at_once() -> None:
    assert machine.timed(began(), [0.0], ALWAYS).due_at == FRIDAY.astimezone(UTC)


def test_nobody_works_ever_again() -> None:
    assert machine.timed(began(), [HOUR], machine.NO_TIME).due_at is None


def test_an_edited_step_that_was_passed_is_not_done_afterwards() -> None:
    """The policy's step moved from 2 hours to 1 hour while the clock stood at 2."""
    running = machine.timed(began(), [2 * HOUR], ALWAYS)
    after, _ = machine.passed(running, FRIDAY + timedelta(hours=2), [2 * HOUR], ALWAYS)
    again, reached = machine.passed(after, FRIDAY + timedelta(hours=4), [HOUR], ALWAYS)
    assert reached == [4 * HOUR]
    assert again.due_at is None
