"""Business time across changes of clocks, in zones of every kind, and on days that only some years have."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from routing.core.availability.hours import ALWAYS, Calendar, Joint, Week, Weekly, instant, moment

OFFICE: Week = (((540, 1020),),) * 5 + ((), ())  # Mon-Fri 9:00-17:00
NIGHT: Week = (((1320, 1800),),) * 7  # 22:00-6:00, every night
HOUR = 3600.0


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def week(zone: str, hours: Week = OFFICE) -> Weekly:
    return Weekly(hours, ZoneInfo(zone))


def test_a_day_at_the_office_begins_at_nine_on_the_person_s_own_clock() -> None:
    berlin = week("Europe/Berlin")
    assert berlin.opens(at("2026-11-23 03:00")) == at("2026-11-23 09:00", "Europe/Berlin")
    assert berlin.is_open(at("2026-11-23 09:00", "Europe/Berlin"))
    assert not berlin.is_open(at("2026-11-23 17:00", "Europe/Berlin"))
    assert berlin.closes(at("2026-11-23 12:00")) == at("2026-11-23 17:00", "Europe/Berlin")
    assert berlin.closes(at("2026-11-22 12:00")) == at("2026-11-22 12:00")  # it is closed then


def test_four_business_hours_from_friday_afternoon_end_on_monday() -> None:
    berlin = week("Europe/Berlin")
    start = at("2026-11-20 15:00", "Europe/Berlin")
    assert berlin.add(start, 4 * HOUR) == at("2026-11-23 11:00", "Europe/Berlin")
    assert berlin.elapsed(start, at("2026-11-23 11:00", "Europe/Berlin")) == 4 * HOUR


def test_time_that_is_used_up_just_when_the_office_closes_ends_then_and_not_at_the_next_opening() -> None:
    start = at("2026-11-20 15:00", "Europe/Berlin")
    assert week("Europe/Berlin").add(start, 2 * HOUR) == at("2026-11-20 17:00", "Europe/Berlin")


def test_no_time_at_all_is_the_moment_itself_and_a_span_that_runs_backwards_is_nothing() -> None:
    sunday = at("2026-11-22 12:00")
    assert week("Europe/Berlin").add(sunday, 0) == sunday
    assert week("Europe/Berlin").elapsed(sunday + timedelta(days=3), sunday) == 0


@pytest.mark.parametrize(
    ("zone", "day", "minute", "first", "last"),
    [
        # 2:30 does not exist: it is the moment of the change, 3:00.
        ("America/New_York", date(2026, 3, 8), 150, "2026-03-08T07:00Z", "2026-03-08T07:00Z"),
        # 1:30 comes twice.
        ("America/New_York", date(2026, 11, 1), 90, "2026-11-01T05:30Z", "2026-11-01T06:30Z"),
        # Clocks change by half an hour, at 2:00.
        ("Australia/Lord_Howe", date(2026, 10, 4), 135, "2026-10-03T15:30Z", "2026-10-03T15:30Z"),
        ("Australia/Lord_Howe", date(2026, 4, 5), 105, "2026-04-04T14:45Z", "2026-04-04T15:15Z"),
        # The day that Samoa left out.
        ("Pacific/Apia", date(2011, 12, 30), 600, "2011-12-30T10:00Z", "2011-12-30T10:00Z"),
        # Midnight does not exist.
        ("America/Havana", date(2026, 3, 8), 0, "2026-03-08T05:00Z", "2026-03-08T05:00Z"),
        # Quarters and halves of an hour.
        ("Asia/Kathmandu", date(2026, 2, 28), 540, "2026-02-28T03:15Z", "2026-02-28T03:15Z"),
        ("Asia/Kolkata", date(2028, 2, 29), 540, "2028-02-29T03:30Z", "2028-02-29T03:30Z"),
        ("Pacific/Chatham", date(2026, 9, 27), 170, "2026-09-26T14:00Z", "2026-09-26T14:00Z"),
        # The end of a day is the beginning of the next, also of a leap day.
        ("Europe/Berlin", date(2028, 2, 29), 1440, "2028-02-29T23:00Z", "2028-02-29T23:00Z"),
    ],
)
def test_a_wall_clock_time_is_an_instant(zone: str, day: date, minute: int, first: str, last: str) -> None:
    assert moment(instant(day, minute, ZoneInfo(zone))) == datetime.fromisoformat(first)
    assert moment(instant(day, minute, ZoneInfo(zone), last=True)) == datetime.fromisoformat(last)


@pytest.mark.parametrize(
    ("start", "hours"),
    [("2026-03-28 22:00", 7), ("2026-10-24 22:00", 9), ("2026-06-06 22:00", 8)],
    ids=["clocks go forward", "clocks go back", "any other night"],
)
def test_a_night_shift_is_as_long_as_whoever_works_it_works(start: str, hours: int) -> None:
    begins = at(start, "Europe/Berlin")
    assert week("Europe/Berlin", NIGHT).elapsed(begins, begins + timedelta(hours=12)) == hours * HOUR
    ends = week("Europe/Berlin", NIGHT).add(begins, hours * HOUR)
    assert ends is not None
    assert ends.astimezone(ZoneInfo("Europe/Berlin")).hour == 6


def test_the_part_of_a_night_that_falls_on_a_holiday_is_free() -> None:
    christmas = Weekly(NIGHT, ZoneInfo("Europe/Berlin"), lambda day: "Christmas" if day == date(2026, 12, 25) else "")
    eve = at("2026-12-24 20:00", "Europe/Berlin")
    assert christmas.closes(at("2026-12-24 23:00", "Europe/Berlin")) == at("2026-12-25 00:00", "Europe/Berlin")
    assert christmas.elapsed(eve, eve + timedelta(hours=24)) == 2 * HOUR
    assert christmas.opens(at("2026-12-25 03:00", "Europe/Berlin")) == at("2026-12-26 00:00", "Europe/Berlin")


def test_other_hours_count_from_their_day_on() -> None:
    early: Week = (((480, 960),),) * 5 + ((), ())
    berlin = Weekly(
        OFFICE, ZoneInfo("Europe/Berlin"), later=[(date(2026, 11, 25), early), (date(2026, 12, 1), ((),) * 7)]
    )
    assert berlin.opens(at("2026-11-24 06:00")) == at("2026-11-24 09:00", "Europe/Berlin")
    assert berlin.opens(at("2026-11-24 18:00")) == at("2026-11-25 08:00", "Europe/Berlin")
    assert berlin.elapsed(at("2026-11-23 00:00"), at("2026-12-31 00:00")) == 6 * 8 * HOUR
    assert berlin.opens(at("2026-12-01 06:00")) is None


def test_somebody_in_samoa_did_not_work_on_the_day_that_was_left_out() -> None:
    start = at("2011-12-29 00:00", "Pacific/Apia")  # a Thursday; Friday was left out
    assert week("Pacific/Apia").elapsed(start, start + timedelta(days=3)) == 8 * HOUR


def test_a_team_is_at_work_while_anybody_of_it_is() -> None:
    team = Joint([week("Europe/Berlin"), week("America/New_York"), week("Europe/Berlin")])
    monday = at("2026-11-23 00:00")
    assert team.opens(monday) == at("2026-11-23 09:00", "Europe/Berlin")
    assert team.closes(at("2026-11-23 12:00")) == at("2026-11-23 17:00", "America/New_York")
    assert team.elapsed(monday, monday + timedelta(days=7)) == 5 * 14 * HOUR  # 8:00 to 22:00 UTC


@pytest.mark.parametrize("calendar", [ALWAYS, Joint([ALWAYS, week("UTC")]), week("UTC", (((0, 1440),),) * 7)])
def test_what_never_closes_counts_every_second(calendar: Calendar) -> None:
    start = at("2026-11-23 12:34")
    assert calendar.is_open(start)
    assert calendar.closes(start) is None
    assert calendar.add(start, 400 * 24 * HOUR) == start + timedelta(days=400)
    assert calendar.elapsed(start, start + timedelta(days=400)) == 400 * 24 * HOUR


@pytest.mark.parametrize(
    "calendar", [week("UTC", ((),) * 7), Weekly(OFFICE, ZoneInfo("UTC"), lambda _: "closed for good"), Joint([])]
)
def test_what_never_opens_says_so(calendar: Calendar) -> None:
    now = at("2026-11-23 12:00")
    assert not calendar.is_open(now)
    assert calendar.opens(now) is None
    assert calendar.add(now, 1) is None
    assert calendar.elapsed(now, now + timedelta(days=900)) == 0


def test_what_is_asked_for_at_the_end_of_time_has_an_answer() -> None:
    late = datetime(9999, 12, 30, 12, tzinfo=UTC)
    assert week("UTC").add(late, 1e12) is None
    assert week("UTC").elapsed(late, datetime(9999, 12, 31, 12, tzinfo=UTC)) >= 0
