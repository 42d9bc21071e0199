"""When people work: hours, calendars, public holidays, time off, and the rest of people.csv."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.policy import Policy, check, compile_policy
from rules.pools.model import Cap, Hours, TimeOff
from rules.pools.texts import DAY, TextError, hours_of
from rules.pools.words import hours_words
from tests.unit.rules.samples import PEOPLE, errors, policy_files, warnings

NINE_TO_FIVE = ((540, 1020),)


def week(*days: Any) -> Hours:
    return tuple(days) + ((),) * (7 - len(days))


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("Mon-Fri 9:00-17:00", week(*[NINE_TO_FIVE] * 5)),
        ("mon-fri 9-5pm", week(*[NINE_TO_FIVE] * 5)),
        ("Monday 9am-5pm", week(NINE_TO_FIVE)),
        ("Mon: 9.00 - 17.00", week(NINE_TO_FIVE)),
        ("Mon 1-5 pm", week(((780, 1020),))),
        ("Mon 12am-12pm", week(((0, 720),))),
        ("Mon, Tue 9–17", week(NINE_TO_FIVE, NINE_TO_FIVE)),
        ("Mon 13:00-17:00, 8:00-12:00", week(((480, 720), (780, 1020)))),
        ("Fri-Mon 9-17", (NINE_TO_FIVE, (), (), (), NINE_TO_FIVE, NINE_TO_FIVE, NINE_TO_FIVE)),
        ("weekdays 9-17; weekend 0:00-24:00", (*[NINE_TO_FIVE] * 5, *[((0, DAY),)] * 2)),
        ("every day 9-17; ", None),
        ("daily 9-17", (NINE_TO_FIVE,) * 7),
        ("Mon 22:00-6:00; Tue 6:00-7:00", week(((1320, DAY + 360),), ((360, 420),))),
        ("Sun 22:00-2:00; Mon 2-3", (((120, 180),), (), (), (), (), (), ((1320, DAY + 120),))),
        ("Mon-Fri 9-17; Sat closed", week(*[NINE_TO_FIVE] * 5)),
    ],
)
def test_hours_are_read_as_people_write_them(text: str, hours: Hours | None) -> None:
    if hours is None:
        with pytest.raises(TextError):
            hours_of(text)
    else:
        assert hours_of(text) == hours


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mon-Fri", "says no hours"),
        ("9-17", "says no hours"),
        ("Xyz 9-17", "'Xyz' is no day of the week"),
        ("M 9-17", "'M' is no day of the week"),
        ("Mon-Wed-Fri 9-17", "is no days of the week"),
        ("Mon 9:00", "is no time of day"),
        ("Mon 9-25", "has no such time of day"),
        ("Mon 9:60-10", "has no such time of day"),
        ("Mon 13pm-15", "is no time of day from … to …|has no such time of day"),
        ("Mon 0 am-9", "has no such time of day"),
        ("Mon 9-9", "begins when it ends"),
        ("Mon 9-12, 11-13", "overlap"),
        ("Mon 22-10, 9-12", "overlap"),
        ("Mon 9-12; Mon 13-14", "Monday is there twice"),
        ("Mon-Wed 9-12; Tue 13-14", "Tuesday is there twice"),
        ("Mon 22-6; Tue 5-9", "the hours of Monday run into those of Tuesday"),
        ("Sun 22-6; Mon 5-9", "the hours of Sunday run into those of Monday"),
        ("Mon closed", "never open"),
        ("Mon " + "9" * 1000, "more than 500 characters"),
    ],
)
def test_what_is_no_hours_is_refused(text: str, words: str) -> None:
    with pytest.raises(TextError, match=words):
        hours_of(text)


SPAN = st.tuples(st.integers(0, DAY - 1), st.integers(1, DAY)).filter(lambda one: one[0] < one[1])


@given(st.lists(st.one_of(st.just(()), SPAN.map(lambda one: (one,))), min_size=7, max_size=7))
def test_hours_that_are_told_are_read_again(days: list[Any]) -> None:
    hours = tuple(days)
    if any(hours):
        assert hours_of(hours_words(hours)) == hours


@given(st.text("MonTueFri 0123456789:-,;apm", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(TextError):
        assert any(hours_of(text))


CALENDARS = """\
Office:
  hours: {Mon-Thu: "9:00-12:00, 13:00-18:00", Fri: 9-15}
  time_zone: Europe/Berlin
  holidays: de-by
  closed: [2026-12-24, 2026-12-28..2026-12-30 Between the years]
"""
ROSTER = """\
name,email,time_zone,hours,holidays,start_date,end_date,manager,caps
Ana Diaz,ana.diaz@example.com,,office,,,,,
Ben Okafor,ben.okafor@example.com,Asia/Kathmandu,Office,GB; FR,2024-02-29,2027-01-31,Ana Diaz,"10 a day, 1,000 open"
Cora Lang,cora.lang@example.com,Australia/Lord_Howe,Mon 22-6,,,,,
"""


def policy(people: str = ROSTER, calendars: str = CALENDARS, **more: str) -> Policy:
    return compile_policy(policy_files(people=people, calendars=calendars, **more))


def test_a_row_may_name_a_calendar_and_keep_its_own_zone_and_holidays() -> None:
    found = policy()
    office = found.calendars["Office"]
    ana, ben, cora = found.people.values()
    assert (office.hours[0], office.hours[4], office.hours[5]) == (((540, 720), (780, 1080)), ((540, 900),), ())
    assert office.holidays == ("DE-BY",)
    between = {date(2026, 12, day): "Between the years" for day in (28, 29, 30)}
    assert office.closed == {date(2026, 12, 24): "closed", **between}
    assert (ana.hours, ana.time_zone, ana.holidays, ana.closed) == (
        office.hours,
        "Europe/Berlin",
        ("DE-BY",),
        office.closed,
    )
    assert (ben.hours, ben.time_zone, ben.holidays, ben.closed) == (
        office.hours,
        "Asia/Kathmandu",
        ("GB", "FR"),
        office.closed,
    )
    assert (ben.manager, ben.end_date, ben.caps) == (ana.key, "2027-01-31", (Cap(10, "day"), Cap(1000, "open")))
    assert (cora.hours[0], cora.time_zone, cora.closed) == (((1320, DAY + 360),), "Australia/Lord_Howe", {})


def test_other_hours_may_begin_on_a_day() -> None:
    text = f"{CALENDARS}  hours from 2028-01-01: Mon 8-12\n  hours from 2027-03-01: {{Tue: 10-12}}\n"
    found = policy(calendars=text)
    later = ((date(2027, 3, 1), week((), ((600, 720),))), (date(2028, 1, 1), week(((480, 720),))))
    assert found.calendars["Office"].later == found.people["ana.diaz@example.com"].later == later
    assert found.people["cora.lang@example.com"].later == ()
    told = errors(people=ROSTER, calendars=f"{CALENDARS}  hours from March: Mon 8-12\n")
    assert len(told) == 1
    assert "'hours from March' names no day: write 'hours from 2027-01-01'" in told[0]


def test_without_hours_somebody_works_around_the_clock() -> None:
    found = compile_policy(policy_files())
    assert all((person.hours, person.holidays) == ((), ()) for person in found.people.values())
    assert (found.calendars, found.time_off) == ({}, ())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("office,", "ofice,", "2:32 there is no calendar 'ofice' | did you mean 'Office'?"),
        ("Mon 22-6", "Mon 25-6", "'25-6' has no such time of day"),
        ("GB; FR", "GB; XX", "the public holidays of 'XX' are not known"),
        ("GB; FR", "DE-XY", "the public holidays of 'DE-XY' are not known | write DE for the whole country"),
        ("Asia/Kathmandu", "Asia/Katmandoo", "'Asia/Katmandoo' is no time zone: write it as Europe/Berlin | did you mean 'Asia/Kat"),
        ("Asia/Kathmandu", "GMT+5", "'GMT+5' is no time zone"),
        ("2024-02-29", "2023-02-29", "'2023-02-29' is no date"),
        ("2027-01-31", "2023-01-31", "this person ends on 2023-01-31, before they start on 2024-02-29"),
        ("Ana Diaz,\"", "Ben Okafor,\"", "Ben Okafor cannot be their own manager"),
        ("Ana Diaz,\"", "Anna Diaz,\"", "'Anna Diaz' is not in people.csv | did you mean 'Ana Diaz'?"),
        ("10 a day", "ten a day", "'ten a day' is no cap"),
        ("10 a day", "10 a day of Large", "a cap of one kind of lead belongs to a pool"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_roster_is_told_at_its_cell(old: str, new: str, words: str) -> None:
    assert old in ROSTER
    found = errors(people=ROSTER.replace(old, new, 1), calendars=CALENDARS)
    assert len(found) == 1
    assert words in found[0]


def test_a_ramp_needs_a_start_date_and_amounts_are_numbers() -> None:
    people = "name,email,start_date,ramp,quota\nAna Diaz,ana.diaz@example.com,,50 % for 3 days,lots\nBen Okafor,b@x.example,,,1\n"
    found = errors(people=people)
    assert any("a ramp counts from the start date: this person has none" in one for one in found)
    assert any("'quota' is a number of 0 or more, not 'lots'" in one for one in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A: {hours: Mon 9-17, zone: x}", "the calendar 'A' has no setting 'zone'"),
        ("A: {time_zone: Europe/Berlin}", "1:1 the calendar 'A' has no hours"),
        ("A: {hours: Mon 9-17, time_zone: Berlin}", "'Berlin' is no time zone"),
        ("A: {hours: {Mon-Fri: 9-17, Wed: 9-12}}", "Wednesday is there twice"),
        ("A: {hours: {Mon: closed}}", "these hours are never open"),
        ("A: {hours: Mon 9-17, holidays: [DE, QQ]}", "the public holidays of 'QQ' are not known"),
        ("A: {hours: Mon 9-17, closed: 24.12.2026}", "'24.12.2026' is no day"),
        ("A: {hours: Mon 9-17, closed: 2026-02-30}", "'2026-02-30' is no day"),
        ("A: {hours: Mon 9-17, closed: 2026-12-31..2026-12-24}", "is the wrong way round"),
        ("A: {hours: Mon 9-17, closed: 2026-01-01..2036-01-01}", "more than 1,000 days"),
        ("A: {hours: Mon 9-17}\na: {hours: Mon 9-17}", "2:1 the calendar 'a' differs from 'A' only by case"),
    ],
)
def test_a_mistake_in_a_calendar_is_told(text: str, words: str) -> None:
    found = errors(calendars=f"{text}\n")
    assert any(words in one for one in found), found


def off(*rows: str, head: str = "person,from,to,reason") -> dict[str, bytes]:
    return policy_files() | {"time_off.csv": "\n".join([head, *rows, ""]).encode()}


def test_time_off_is_a_day_a_half_or_some_hours() -> None:
    found = compile_policy(
        off("Ana Diaz,2026-12-01,2026-12-05,Holiday", "ben.okafor@example.com,2026-12-24 pm,,", "Ana Diaz,2026-12-14 13:30,2026-12-14 16:00,")
    ).time_off  # fmt: skip
    assert found == (
        TimeOff("ana.diaz@example.com", "2026-12-01", "2026-12-05", "Holiday"),
        TimeOff("ben.okafor@example.com", "2026-12-24 pm", "2026-12-24 pm"),
        TimeOff("ana.diaz@example.com", "2026-12-14 13:30", "2026-12-14 16:00"),
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("Anna Diaz,2026-12-01,,", "2:1 'Anna Diaz' is not in people.csv | did you mean 'Ana Diaz'?"),
        (",2026-12-01,,", "2:1 whose time off is this?"),
        ("Ana Diaz,1.12.2026,2026-12-05,", "2:10 '1.12.2026' is no moment at which time off begins or ends"),
        ("Ana Diaz,2026-02-29,,", "'2026-02-29' is no moment"),
        ("Ana Diaz,,,", "2:10 the first day of this time off is missing"),
        ("Ana Diaz,,2026-12-05,", "2:10 the first day of this time off is missing"),
        ("Ana Diaz,2026-12-05 13:30,2026-12-05 13:30,", "ends (2026-12-05 13:30) when it begins"),
        ("Ana Diaz,2026-12-05,2026-12-01,", "2:21 this time off ends (2026-12-01) before it begins (2026-12-05)"),
        ("Ana Diaz,2026-12-05 pm,2026-12-05 am,", "before it begins"),
    ],
)
def test_a_mistake_in_time_off_is_told_at_its_cell(row: str, words: str) -> None:
    found = [one for one in check(off(row))[1] if one.severity == "error"]
    told = [f"{one.line}:{one.column} {one.message}" + (f" | {one.hint}" if one.hint else "") for one in found]
    assert [words in one for one in told] == [True], told


def test_time_off_that_is_there_twice_is_a_warning() -> None:
    again = "Ana Diaz,2026-12-01,2026-12-05,leave\nAna Diaz,2026-12-07,,\nAna Diaz,2026-12-01,2026-12-05,leave"
    told = [(one.severity, one.line, one.message) for one in check(off(again))[1] if "already" in one.message]
    assert told == [("warning", 4, "this time off is there already, in line 2")]


def test_columns_of_time_off_are_checked() -> None:
    told = [one.message for one in check(off("Ana Diaz,2026-12-01", head="who,from"))[1]]
    assert told == ["time_off.csv has no column 'person'"]
    told = [one.message for one in check(off("Ana Diaz,2026-12-01,x", head="person,from,until"))[1]]
    assert told == ["time_off.csv has no use for the column 'until'"]


def test_columns_of_ones_own_are_numbers_lists_or_texts() -> None:
    people = "name,email,level,languages,desk\nAna Diaz,ana.diaz@example.com,3,de; FR,1\nBen Okafor,ben.okafor@example.com,,en,left\n"
    ana, ben = compile_policy(policy_files(people=people)).people.values()
    assert [ana.columns[name] for name in ("level", "languages", "desk")] == [3.0, ["de", "FR"], "1"]
    assert [ben.columns[name] for name in ("level", "languages", "desk")] == [None, ["en"], "left"]
    assert ana.skills["languages"] == {"de", "fr"}


def test_the_roster_of_before_still_warns_of_nothing() -> None:
    assert warnings(people=PEOPLE) == []
