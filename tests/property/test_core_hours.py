"""Business time, against a clock that is read minute by minute; and its laws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from routing.core.availability.hours import Calendar, Joint, Week, Weekly

ZONES = st.sampled_from(
    [
        "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kathmandu", "Asia/Kolkata", "Pacific/Chatham",
        "Australia/Lord_Howe", "Pacific/Apia", "America/Havana", "Africa/Casablanca", "Asia/Beirut", "Pacific/Kiritimati",
    ]
)  # fmt: skip


def between(first: str, last: str) -> st.SearchStrategy[datetime]:
    one, other = (int(datetime.fromisoformat(f"{day}T00:00Z").timestamp() * 1000) for day in (first, last))
    return st.integers(one, other).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))


# Around changes of clocks in most of these zones, leap days, and any other time.
MOMENTS = st.one_of(
    between("2026-03-06", "2026-04-08"),
    between("2026-09-25", "2026-11-04"),
    between("2028-02-27", "2028-03-02"),
    between("1990-01-01", "2090-01-01"),
)
SPANS = st.tuples(st.integers(0, 1439), st.integers(1, 900)).map(lambda one: (one[0], one[0] + one[1]))
WEEKS: st.SearchStrategy[Week] = st.tuples(*[st.lists(SPANS, max_size=2).map(tuple)] * 7)
CALENDARS: st.SearchStrategy[Calendar] = st.builds(Weekly, WEEKS, ZONES.map(ZoneInfo))
ANY = st.one_of(CALENDARS, st.lists(CALENDARS, min_size=1, max_size=3).map(Joint))


@settings(deadline=None, max_examples=30)
@given(WEEKS, ZONES, MOMENTS, st.integers(1, 400))
def test_hours_are_those_that_the_clock_on_the_wall_shows(
    hours: Week, zone: str, start: datetime, minutes: int
) -> None:
    start = start.replace(second=0, microsecond=0)
    end = start + timedelta(minutes=minutes)
    place = ZoneInfo(zone)
    assume(start.astimezone(place).utcoffset() == (end + timedelta(days=2)).astimezone(place).utcoffset())
    assume(start.astimezone(place).utcoffset() == (start - timedelta(days=2)).astimezone(place).utcoffset())
    assume((start.astimezone(place).utcoffset() or timedelta()).seconds % 60 == 0)
    calendar = Weekly(hours, place)
    at_work = 0
    for minute in range(minutes):
        now = start + timedelta(minutes=minute)
        here = now.astimezone(place)
        today, yesterday = hours[here.weekday()], hours[here.weekday() - 1]
        reads = here.hour * 60 + here.minute
        works = any(one <= reads < other for one, other in today) or any(
            one <= reads + 1440 < other for one, other in yesterday
        )
        assert calendar.is_open(now) == works
        at_work += works
    assert calendar.elapsed(start, end) == at_work * 60


@settings(deadline=None, max_examples=60)
@given(ANY, MOMENTS, st.floats(0.001, 3e6))
def test_what_is_added_has_passed_and_not_a_moment_earlier(calendar: Calendar, start: datetime, seconds: float) -> None:
    end = calendar.add(start, seconds)
    if end is None:
        assert calendar.opens(start) is None
        return
    assert abs(calendar.elapsed(start, end) - seconds) < 1e-3
    assert calendar.elapsed(start, end - timedelta(seconds=1)) < seconds


@settings(deadline=None, max_examples=60)
@given(ANY, MOMENTS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_time_does_not_depend_on_where_it_is_cut(calendar: Calendar, start: datetime, one: int, other: int) -> None:
    middle = start + timedelta(seconds=one)
    end = middle + timedelta(seconds=other)
    parts = calendar.elapsed(start, middle) + calendar.elapsed(middle, end)
    assert abs(calendar.elapsed(start, end) - parts) < 1e-3
    assert 0 <= parts <= one + other + 1e-3


@settings(deadline=None, max_examples=60)
@given(ANY, MOMENTS)
def test_open_time_begins_when_it_opens_and_ends_when_it_closes(calendar: Calendar, now: datetime) -> None:
    opens = calendar.opens(now)
    if opens is None:
        assert not calendar.is_open(now)
        return
    assert calendar.is_open(opens)
    assert calendar.elapsed(now, opens) == 0
    closes = calendar.closes(opens)
    if closes is not None:
        assert closes > opens
        assert not calendar.is_open(closes)
        assert calendar.is_open(closes - timedelta(milliseconds=1))


@settings(deadline=None, max_examples=30)
@given(st.lists(CALENDARS, min_size=1, max_size=3), MOMENTS)
def test_a_team_is_open_just_when_one_of_it_is(calendars: list[Calendar], now: datetime) -> None:
    for hours in range(0, 72, 5):
        then = now + timedelta(hours=hours)
        assert Joint(calendars).is_open(then) == any(one.is_open(then) for one in calendars)
