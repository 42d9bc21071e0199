"""When a cap is full and when there is room again: windows of the calendar in the person's own zone, and rolling ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.core.test_distribution import Team

SECOND = timedelta(seconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def one_at(cap: str, at: datetime) -> Team:
    """Ana, in Berlin, had her one lead then."""
    team = Team(f"P: {{members: [Ana Diaz], member_caps: {cap}}}")
    team.now = at
    assert team.give(1) == ["ana"]
    return team


@pytest.mark.parametrize(
    ("window", "length"),
    [
        ("hour", timedelta(hours=1)),
        ("day", timedelta(days=1)),
        ("week", timedelta(weeks=1)),
        ("month", timedelta(days=30)),
    ],
)
def test_a_rolling_window_ends_its_whole_length_after_the_lead(window: str, length: timedelta) -> None:
    begun = utc("2026-11-23 09:00")
    team = one_at(f"1 in any {window}", begun)
    team.now = begun + length - SECOND
    found = team.pick()
    assert (found.person, f"in the last {window}, the cap is 1" in found.note) == ("", True)
    team.now = begun + length
    assert team.give(2) == ["ana", ""]


@pytest.mark.parametrize(
    ("window", "first", "ends"),
    [
        # The first moment of the window in Berlin, and the first of the next.
        ("hour", "2026-11-23 09:00", "2026-11-23 10:00"),
        ("day", "2026-11-22 23:00", "2026-11-23 23:00"),
        ("week", "2026-11-22 23:00", "2026-11-29 23:00"),
        ("week", "2026-03-22 23:00", "2026-03-29 22:00"),  # the week in which clocks go forward
        ("month", "2026-10-31 23:00", "2026-11-30 23:00"),
        ("month", "2028-01-31 23:00", "2028-02-29 23:00"),
        ("month", "2026-12-31 23:00", "2027-01-31 23:00"),
    ],
)
def test_a_window_of_the_calendar_is_that_of_the_persons_zone(window: str, first: str, ends: str) -> None:
    cap, begun, end = f"1 {'an' if window == 'hour' else 'a'} {window}", utc(first), utc(ends)
    early, late = one_at(cap, begun), one_at(cap, end - SECOND)
    early.now = end - SECOND
    assert early.give(1) == [""], "given in the first second of the window, it counts to the last"
    late.now = end
    assert late.give(2) == ["ana", ""], "given in the last second of the window before, it counts no more"
    before = one_at(cap, begun - SECOND)
    before.now = begun
    assert before.give(1) == ["ana"]
