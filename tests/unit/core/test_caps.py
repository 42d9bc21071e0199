"""When a cap is full and when there is room again: windows of the calendar in the person's own zone, and rolling ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routing.core.distribution.ask import Ask, Pick
from routing.core.distribution.returns import Turns, take_back
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


def given(team: Team, at: str, **more: Any) -> Pick:
    team.now = utc(at)
    found = team.pick(**more)
    assert found.person == "ana@example.com"
    return found


def give_back(team: Team, pick: Pick, at: str, now: str) -> None:
    """A lead that was given ``at`` that time."""
    team.now = utc(now)
    ask = Ask(system="salesforce", facts={}, now=team.now)
    take_back(team.pools, Turns(pick.named, utc(at)), "Ana Diaz gave it back", ask)


def test_in_a_rolling_window_a_lead_given_back_frees_its_own_place() -> None:
    team = Team("P: {members: [Ana Diaz], member_caps: 2 in any hour}")
    first = given(team, "2026-11-23 09:00")
    given(team, "2026-11-23 09:50")
    give_back(team, first, "2026-11-23 09:00", now="2026-11-23 09:55")
    assert team.give(2) == ["ana", ""]
    team.now = utc("2026-11-23 10:00")  # an hour after the one that was given back
    assert team.give(1) == [""]
    team.now = utc("2026-11-23 10:50")
    assert team.give(2) == ["ana", ""]


def test_a_lead_of_yesterday_that_is_given_back_frees_no_place_of_today() -> None:
    team = Team("P: {members: [Ana Diaz], member_caps: [1 a day, 3 a week]}")
    old = given(team, "2026-11-23 09:00")
    given(team, "2026-11-24 09:00")
    give_back(team, old, "2026-11-23 09:00", now="2026-11-24 10:00")
    assert "had 1 lead today, the cap is 1" in team.pick().note
    for day in (25, 26):  # of the three in this week one was given back
        given(team, f"2026-11-{day} 09:00")
    team.now = utc("2026-11-27 09:00")
    assert "had 3 leads this week, the cap is 3" in team.pick().note


def test_a_lead_of_one_kind_that_is_given_back_frees_its_place_among_all_and_among_those_of_its_kind() -> None:
    kinds = "kinds: {Large: lead.employees >= 1000}"
    team = Team(f"P: {{members: [Ana Diaz], {kinds}, member_caps: [2 in any hour of Large, 3 in any hour]}}")
    large = {"employees": 5000}
    first = given(team, "2026-11-23 09:00", lead=large)
    given(team, "2026-11-23 09:10", lead=large)
    given(team, "2026-11-23 09:20", lead={"employees": 5})
    give_back(team, first, "2026-11-23 09:00", now="2026-11-23 09:30")
    member = team.policy.pools["P"].members[0]
    assert team.attendance.used(team.policy.pools["P"], member, "Large", team.now) == [
        "1 of 2 of Large in the last hour",
        "2 of 3 in the last hour",
    ]
    team.now = utc("2026-11-23 10:05")  # an hour after the one that was given back
    assert team.attendance.used(team.policy.pools["P"], member, "Large", team.now) == [
        "1 of 2 of Large in the last hour",
        "2 of 3 in the last hour",
    ]


def test_a_credit_that_names_no_lead_frees_no_place() -> None:
    team = Team("P: {members: [Ana Diaz, Bo Li], member_caps: 1 in any hour}")
    given(team, "2026-11-23 09:00")
    assert team.give(2) == ["bo", ""]
    team.pools.enter(team.pools.rotations["P", ""], "ana@example.com", "credit", team.now, leads=1.0)
    assert team.give(1) == [""]


def test_a_credit_for_a_lead_frees_its_place_until_it_is_taken_back() -> None:
    team = Team("P: {members: [Ana Diaz, Bo Li], member_caps: 2 a day}")
    first = given(team, "2026-11-23 09:00")
    assert team.give(4) == ["bo", "ana", "bo", ""]
    rotation, pool = team.pools.rotations["P", ""], team.policy.pools["P"]

    def enter(what: Any) -> list[str]:
        team.pools.enter(rotation, first.person, what, team.now, leads=1.0, given=utc("2026-11-23 09:00"))
        return team.attendance.used(pool, pool.members[0], "", team.now)

    assert enter("debit") == ["2 of 2 today"], "nothing was credited that could be taken back"
    assert enter("credit") == ["1 of 2 today"]
    assert enter("debit") == ["2 of 2 today"]
    assert team.give(1) == [""]
    enter("credit")
    assert team.give(2) == ["ana", ""]


def test_giving_back_a_lead_that_is_too_old_for_any_cap_frees_no_place_of_another() -> None:
    kinds = "kinds: {Large: lead.employees >= 1000}"
    team = Team(f"P: {{members: [Ana Diaz], {kinds}, member_caps: [9 a month, 9 a month of Large]}}")
    old = given(team, "2026-09-01 09:00", lead={"employees": 5000})
    for hour in (9, 10):
        given(team, f"2026-11-23 {hour:02}:00")
    give_back(team, old, "2026-09-01 09:00", now="2026-11-23 11:00")
    pool = team.policy.pools["P"]
    assert team.attendance.used(pool, pool.members[0], "", team.now) == ["2 of 9 this month"]
