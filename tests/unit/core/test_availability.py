"""Whether somebody can receive leads at a moment, why not, and when that changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from routing.core.availability.calendars import calendars_of, pools_served_by
from routing.core.availability.known import Absence, Known, Presence
from routing.core.availability.people import Availability
from rules.model import PolicyError
from rules.policy import Policy, compile_policy
from tests.unit.core import policy as small

PEOPLE = """name,email,time_zone,hours,holidays,start_date,end_date
Ana Diaz,ana@example.com,Europe/Berlin,Mon-Fri 9:00-17:00,DE-BY,,
Bo Li,bo@example.com,America/New_York,Mon-Fri 9:00-17:00,US,,
Cem Kaya,cem@example.com,,,,,
Dana Fox,dana@example.com,Pacific/Auckland,,,2026-12-01,2026-12-18
"""
POOLS = """
Big: {method: weighted, members: {Bo Li: 1}, overflow: Small}
Small: {method: weighted, members: {Ana Diaz: 2, Cem Kaya: 1}}
All: {members: [pool Small, Dana Fox]}
"""
TIME_OFF = """person,from,to,reason
Ana Diaz,2026-11-26,2026-11-27 am,surgery
"""
MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANA, BO, CEM, DANA = "ana@example.com", "bo@example.com", "cem@example.com", "dana@example.com"


def policy(people: str = PEOPLE, time_off: str = TIME_OFF, calendars: str = "") -> Policy:
    engagement = small.ENGAGEMENT.replace("person Bo Li", "pool Big")
    files = {"fields.yaml": small.FIELDS, "engagement.yaml": engagement, "people.csv": people, "pools.yaml": POOLS}
    files |= {"time_off.csv": time_off} | ({"calendars.yaml": calendars} if calendars else {})
    return compile_policy({name: text.encode() for name, text in files.items()})


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def absent(person: str, begins: str, ends: str = "", kind: str = "off", number: int = 1) -> Absence:
    return Absence(number, person, kind, begins, ends, "secret reason", "ops", MONDAY)  # type: ignore[arg-type]


def away(person: str, until: datetime | None, seen: datetime = MONDAY) -> Presence:
    return Presence(1, person, False, "in a meeting", until, "telephony", seen)


def test_somebody_of_whom_nothing_is_said_is_always_there() -> None:
    found = Availability(policy()).of(CEM, MONDAY)
    assert (found.why, found.until) == (None, None)
    assert Availability(policy()).of("stranger@example.com", MONDAY).why is None


def test_at_work_until_the_office_closes_and_then_until_it_opens() -> None:
    known = Availability(policy())
    assert known.of(ANA, MONDAY).why is None
    assert known.of(ANA, MONDAY).until == at("2026-11-23 17:00", "Europe/Berlin")
    evening = known.of(ANA, at("2026-11-23 17:00", "Europe/Berlin"))
    assert evening.why == "Ana Diaz is outside working hours until 2026-11-24 09:00 (Europe/Berlin)"
    assert evening.until == at("2026-11-24 09:00", "Europe/Berlin")


def test_a_pool_that_keeps_no_hours_gives_at_night_but_not_in_time_off() -> None:
    known = Availability(policy())
    night = known.of(ANA, at("2026-11-23 23:00"), hours=False)
    assert (night.why, night.until) == (None, at("2026-11-26 00:00", "Europe/Berlin"))
    off = known.of(ANA, at("2026-11-26 20:00"), hours=False)
    assert off.why == "Ana Diaz is off until 2026-11-27 12:00 (Europe/Berlin)"


def test_time_off_with_a_half_day_ends_at_noon_and_its_reason_is_not_told() -> None:
    known = Availability(policy())
    eve = known.of(ANA, at("2026-11-25 18:00", "Europe/Berlin"))
    assert eve.why == "Ana Diaz is off until 2026-11-27 12:00 (Europe/Berlin)"
    assert known.of(ANA, at("2026-11-27 11:59", "Europe/Berlin")).until == at("2026-11-27 12:00", "Europe/Berlin")
    assert known.of(ANA, at("2026-11-27 12:00", "Europe/Berlin")).why is None


def test_a_public_holiday_is_told_by_its_name_and_counts_where_the_person_is() -> None:
    known = Availability(policy())
    epiphany = known.of(ANA, at("2027-01-06 10:00", "Europe/Berlin"))
    assert epiphany.why == "Ana Diaz is off for Epiphany (DE-BY) until 2027-01-07 09:00 (Europe/Berlin)"
    assert known.of(BO, at("2027-01-06 10:00", "America/New_York")).why is None
    thanksgiving = known.of(BO, at("2026-11-26 10:00", "America/New_York"))
    assert thanksgiving.until == at("2026-11-27 09:00", "America/New_York")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-11-30 23:59", "Dana Fox starts on 2026-12-01"),
        ("2026-12-01 00:00", None),
        ("2026-12-18 23:59", None),
        ("2026-12-19 00:00", "Dana Fox works until 2026-12-18"),
    ],
)
def test_the_first_and_the_last_day_are_those_of_the_person_s_own_zone(text: str, why: str | None) -> None:
    known, moment = policy(), at(text, "Pacific/Auckland")
    assert Availability(known).of(DANA, moment).why == why
    directory = small.directory(known)
    assert directory.why_not(DANA, "salesforce", moment) == why  # also for `is active` and for who keeps a lead


def test_whoever_will_not_be_back_has_no_time_to_wait_for() -> None:
    assert Availability(policy()).of(DANA, at("2027-01-01 12:00")).until is None
    paused = Known(1, (absent(CEM, "2026-11-20", kind="pause"),))
    assert Availability(policy(), paused).of(CEM, MONDAY).until is None


def test_who_is_paused_and_leaves_later_is_paused() -> None:
    paused = Known(1, (absent(DANA, "2026-12-02", kind="pause"),))
    assert Availability(policy(), paused).of(DANA, at("2026-12-03 10:00")).why == "Dana Fox is paused"


def test_what_lasts_until_they_are_back_is_why_whatever_lies_within_it() -> None:
    known = Known(2, (absent(CEM, "2026-11-23", kind="pause"), absent(CEM, "2026-12-01", "2026-12-04", number=2)))
    assert Availability(policy(), known).of(CEM, MONDAY).why == "Cem Kaya is paused"


def test_a_last_day_that_means_for_ever_is_one() -> None:
    for end in ("9999-12-31", "9999-12-31 pm"):
        known = Known(1, (absent(ANA, "0001-01-01", end),))
        available = Availability(policy(), known)
        assert available.of(ANA, MONDAY).why == "Ana Diaz is off"
        assert available.in_words(ANA, available.ends(ANA, end)).startswith("9999-12-")


def test_a_pause_begins_at_once_and_says_so() -> None:
    known = Known(1, (absent(ANA, "2026-11-23T12:00:00Z", "2026-11-23T14:00:00Z", "pause"),))
    available = Availability(policy(), known)
    assert available.of(ANA, MONDAY - timedelta(seconds=1)).until == MONDAY
    assert available.of(ANA, MONDAY).why == "Ana Diaz is paused until 2026-11-23 15:00 (Europe/Berlin)"
    assert available.of(ANA, at("2026-11-23 14:00")).why is None


def test_absences_that_run_into_each_other_are_one_and_its_end_is_within_working_hours() -> None:
    known = Known(
        3,
        (
            absent(ANA, "2026-11-24", "2026-11-24"),
            absent(ANA, "2026-11-25", "2026-11-25 pm", number=2),
            absent(ANA, "2026-11-27 10:00", "2026-11-29", number=3),
        ),
    )
    found = Availability(policy(), known).of(ANA, at("2026-11-24 10:00"))
    assert found.until == at("2026-11-30 09:00", "Europe/Berlin")


def test_presence_counts_while_it_holds_and_only_in_working_hours() -> None:
    known = Known(1, (), (away(ANA, at("2026-11-23 13:00")), away(CEM, None)))
    available = Availability(policy(), known)
    assert available.of(ANA, MONDAY).why == (
        "Ana Diaz is not available, telephony reports: in a meeting until 2026-11-23 14:00 (Europe/Berlin)"
    )
    assert available.of(ANA, at("2026-11-23 13:00")).why is None
    assert available.of(CEM, MONDAY).why == "Cem Kaya is not available, telephony reports: in a meeting"
    night = Known(1, (), (away(ANA, at("2026-11-24 01:00"), at("2026-11-23 22:00")),))
    assert "outside working hours" in str(Availability(policy(), night).of(ANA, at("2026-11-23 23:00")).why)


def test_somebody_who_moves_at_noon_is_judged_by_the_zone_that_is_known_at_the_time() -> None:
    known = Known(1, (absent(ANA, "2026-11-24", "2026-11-24"), absent(ANA, MONDAY.isoformat(), "2026-11-23T15:00:00Z")))
    before = Availability(policy(), known)
    after = Availability(policy(PEOPLE.replace("Europe/Berlin", "America/New_York")), known)
    morning = at("2026-11-23 10:00", "Europe/Berlin")
    assert before.of(ANA, morning).why is None
    assert after.of(ANA, morning).why == "Ana Diaz is off until 2026-11-23 10:00 (America/New_York)"
    # An instant stays what it is; a day is the day of where she is.
    assert after.of(ANA, at("2026-11-23 15:00")).why is None
    assert after.of(ANA, at("2026-11-24 02:00"), hours=False).why is None
    assert before.of(ANA, at("2026-11-24 02:00"), hours=False).why is not None


def test_a_clock_that_is_set_back_an_hour_gets_the_answer_of_that_hour_again() -> None:
    known = Availability(policy())
    five, four = at("2026-11-23 17:00", "Europe/Berlin"), at("2026-11-23 16:00", "Europe/Berlin")
    first = known.of(ANA, four)
    assert known.of(ANA, five).why is not None
    assert known.of(ANA, four) == first


def test_a_calendar_with_other_hours_from_a_day_on() -> None:
    calendars = """
Office Munich:
  hours: Mon-Fri 9:00-17:00
  hours from 2027-01-01: {Mon-Thu: "8:00-16:00"}
  time_zone: Europe/Berlin
  holidays: DE-BY
  closed: [2026-12-28..2026-12-31 Between the years]
"""
    people = PEOPLE.replace("Europe/Berlin,Mon-Fri 9:00-17:00,DE-BY", ",Office Munich,")
    known = policy(people, calendars=calendars)
    found = Availability(known).of(ANA, at("2026-12-24 17:00", "Europe/Berlin"))
    assert found.until == at("2027-01-04 08:00", "Europe/Berlin")  # the 1st is a Friday
    closed = Availability(known).of(ANA, at("2026-12-29 10:00", "Europe/Berlin"))
    assert closed.why == "Ana Diaz is off for Between the years until 2027-01-04 08:00 (Europe/Berlin)"
    assert calendars_of(known).that_count("calendar Office Munich", "").opens(at("2027-01-08 12:00")) == (
        at("2027-01-11 08:00", "Europe/Berlin")
    )
    with pytest.raises(PolicyError, match="'hours from soon' names no day: write 'hours from 2027-01-01'"):
        policy(people, calendars=calendars.replace("from 2027-01-01", "from soon"))


def test_everybody_away_at_once_is_back_one_by_one() -> None:
    night = at("2026-11-28 12:00")  # a Saturday
    known = Availability(policy(), Known(1, (absent(CEM, "2026-11-28", "2026-12-01 am"),)))
    back = [known.of(person, night).until for person in (ANA, BO, CEM)]
    assert back == [at("2026-11-30 08:00"), at("2026-11-30 14:00"), at("2026-12-01 12:00")]


def test_the_hours_that_count_for_a_clock() -> None:
    calendars = calendars_of(policy())
    saturday = at("2026-11-28 12:00")
    assert calendars.that_count("rep", ANA).opens(saturday) == at("2026-11-30 08:00")
    assert calendars.that_count("always", ANA).opens(saturday) == saturday
    assert calendars.that_count("team Big", ANA).opens(saturday) == at("2026-11-30 14:00")
    assert calendars.that_count("team All", ANA).opens(saturday) == saturday  # Cem and Dana keep no hours
    with pytest.raises(KeyError):
        calendars.that_count("calendar Nowhere", ANA)


def test_whose_leads_may_come_to_somebody() -> None:
    assert pools_served_by(policy(), {ANA}) == {"Small", "All", "Big"}
    assert pools_served_by(policy(), {BO}) == {"Big"}
    assert pools_served_by(policy(), set()) == set()
