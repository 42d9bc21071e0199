"""What is foretold of somebody's availability comes true, whatever was entered."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core.availability.known import Absence, Known, Presence
from routing.core.availability.people import Availability
from tests.unit.core.test_availability import ANA, BO, CEM, DANA, policy

POLICY = policy()
START = datetime(2026, 11, 23, tzinfo=UTC)
HOURS = st.integers(0, 24 * 40)
MOMENTS = st.one_of(
    st.builds(
        lambda day, half: f"{date(2026, 11, 20) + timedelta(days=day)}{half}",
        st.integers(0, 40),
        st.sampled_from(["", " am", " pm", " 09:00", " 02:30"]),
    ),
    HOURS.map(lambda hours: (START + timedelta(hours=hours)).isoformat()),
)
WHO = st.sampled_from([ANA, BO, CEM, DANA])
ABSENCES = st.builds(
    Absence,
    st.integers(1, 99),
    WHO,
    st.sampled_from(["off", "pause"]),
    MOMENTS,
    st.one_of(MOMENTS, st.just("")),
    st.just(""),
    st.just("ops"),
    st.just(START),
)
REPORTS = st.builds(
    lambda who, there, seen, holds: Presence(
        1, who, there, "", START + timedelta(hours=seen + holds), "chat", START + timedelta(hours=seen)
    ),
    WHO,
    st.booleans(),
    HOURS,
    st.integers(1, 50),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(ABSENCES, max_size=5), st.lists(REPORTS, max_size=2), WHO, HOURS, st.booleans())
def test_until_is_the_first_moment_at_which_it_is_otherwise(
    absences: list[Absence], reports: list[Presence], who: str, hour: int, keeps_hours: bool
) -> None:
    known = Availability(POLICY, Known(1, tuple(absences), tuple(reports)))
    now = START + timedelta(hours=hour, minutes=7)
    found = known.of(who, now, hours=keeps_hours)
    fresh = Availability(POLICY, Known(1, tuple(absences), tuple(reports)))
    end = found.until or now + timedelta(days=40)
    assert end > now
    for part in (0.1, 0.35, 0.6, 0.85):
        between = fresh.of(who, now + (end - now) * part, hours=keeps_hours)
        assert (between.why is None) == (found.why is None)
    if found.until is not None and found.why is not None:
        assert fresh.of(who, found.until, hours=keeps_hours).why is None
        assert fresh.of(who, found.until - timedelta(milliseconds=1), hours=keeps_hours).why is not None


@settings(deadline=None, max_examples=50)
@given(st.lists(ABSENCES, max_size=4), WHO, st.lists(HOURS, min_size=2, max_size=8))
def test_an_answer_does_not_depend_on_what_was_asked_before(
    absences: list[Absence], who: str, asked: list[int]
) -> None:
    together = Availability(POLICY, Known(1, tuple(absences)))
    for hour in asked:
        now = START + timedelta(hours=hour)
        assert together.of(who, now).why == Availability(POLICY, Known(1, tuple(absences))).of(who, now).why
