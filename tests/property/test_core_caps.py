"""Leads given and given back, in any order and of any kind: caps count those that were not given back, at the times they were given."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core.distribution.ask import Ask
from routing.core.distribution.caps import Given
from routing.core.distribution.entries import PoolEntry
from routing.core.distribution.returns import Turns, returned, take_again, take_back
from tests.unit.core.test_distribution import Team

KINDS = ("", "Large", "Small")
PEOPLE = ("ana", "bo")
NINE = datetime(2026, 11, 23, 9, 0, 0, 123_456, tzinfo=UTC)

# Minutes since the step before (the clock may go back), whose lead, its kind, and which of the leads is given back instead of that.
STEPS = st.lists(
    st.tuples(st.integers(-90, 1_000), st.sampled_from(PEOPLE), st.sampled_from(KINDS), st.none() | st.integers(0, 50)),
    max_size=60,
)


def entry(seq: int, person: str, what: str, kind: str, at: datetime, given_at: datetime | None = None) -> PoolEntry:
    return PoolEntry(pool="P", kind=kind, seq=seq, person=person, what=what, at=at, leads=1.0, given=given_at)  # type: ignore[arg-type]


def as_stored(moment: datetime | None) -> datetime | None:
    """The ledger keeps milliseconds."""
    return None if moment is None else datetime.fromtimestamp(round(moment.timestamp() * 1000) / 1000, UTC)


def reread(entries: Iterable[PoolEntry]) -> Given:
    """As whoever opens the ledger anew counts them."""
    again = Given()
    for one in sorted(entries, key=lambda one: (max(one.at, one.given or one.at), one.kind, one.seq)):
        stored = {"at": as_stored(one.at), "given": as_stored(one.given)}
        again.add(PoolEntry(**{name: getattr(one, name) for name in PoolEntry.__struct_fields__} | stored))
    return again


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_caps_count_exactly_the_leads_that_were_not_given_back(steps: list[tuple[int, str, str, int | None]]) -> None:
    live, now, left = Given(), NINE, list[tuple[str, str, datetime]]()
    entries: list[PoolEntry] = []
    for seq, (minutes, person, kind, which) in enumerate(steps):
        now += timedelta(minutes=minutes)
        if which is None or not left:
            left.append((person, kind, now))
            entries.append(entry(seq, person, "assigned", kind, now))
        else:
            person, kind, given_at = left.pop(which % len(left))
            entries.append(entry(seq, person, "refused", kind, now, given_at))
        live.add(entries[-1])
    again = reread(entries)
    for person in PEOPLE:
        for kind in KINDS:
            expected = sorted(at for who, of, at in left if who == person and kind in ("", of))
            assert live.of(person, kind) == expected
            assert again.of(person, kind) == [as_stored(at) for at in expected]
    for kind in KINDS:
        expected = sorted(at for _, of, at in left if kind in ("", of))
        assert live.of_all(kind) == expected
        assert again.of_all(kind) == [as_stored(at) for at in expected]


class Lead(NamedTuple):
    turns: Turns
    person: str
    kind: str


# What happens to which of the leads, how many minutes after the step before: 0 is the same moment, as in a batch.
ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(("give", "give large", "reject", "accept", "credit", "debit")),
        st.integers(0, 50),
        st.sampled_from((0, 0, 0, 1, 7)),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=100)
@given(ANSWERS)
def test_every_lead_has_its_own_place_and_its_own_turn_however_often_it_is_given_back(
    steps: list[tuple[str, int, int]],
) -> None:
    kinds = "kinds: {Large: lead.employees >= 1000}"
    team = Team(f"P: {{members: [Ana Diaz, Bo Li], {kinds}, member_caps: [900 a day, 900 a day of Large]}}")
    team.now = NINE
    leads, away, by_hand = list[Lead](), set[int](), dict[int, str]()
    for number, (what, which, minutes) in enumerate(steps):
        team.now += timedelta(minutes=minutes)
        ask = Ask(system="salesforce", facts={}, now=team.now)
        if what.startswith("give"):
            named = f"decision {number}"
            found = team.pick(lead={"employees": 5000 if "large" in what else 5}, decision_id=named)
            [(_, kind, person)] = found.named
            leads.append(Lead(Turns(found.named, team.now, named), person, kind))
            continue
        if not leads:
            continue
        which %= len(leads)
        one, last = leads[which], by_hand.get(which, "")
        rotation = team.pools.rotations["P", one.kind]
        before = [rotation.claim(n) for n in range(len(rotation.people))]
        if what == "reject":
            take_back(team.pools, one.turns, "no", ask)
        elif what == "accept":
            take_again(team.pools, one.turns, "yes", ask)
        elif (returned(team.pools, "P", one.kind, one.turns.by) is None) == (what == "credit"):
            hand = {"leads": 1.0, "author": "Kim", "given": one.turns.at, "turn": one.turns.by}
            team.pools.enter(rotation, one.person, "credit" if what == "credit" else "debit", team.now, **hand)
        gone = which in away
        goes = not gone and what in ("reject", "credit")
        comes = gone and (what == "debit" or (what == "accept" and last == "reject"))
        if goes:
            away.add(which)
            by_hand[which] = what
        elif comes:
            away.discard(which)
        moved = [rotation.claim(n) for n in range(len(rotation.people))]
        owed = moved[rotation.number[one.person]] - before[rotation.number[one.person]]
        assert owed == pytest.approx(0.5 * (goes - comes)), "a turn is given back once, and taken again once"
    left = [one for n, one in enumerate(leads) if n not in away]
    for counted, stored in ((team.attendance.given["P"], False), (reread(team.pools.entries), True)):
        for kind in ("", "Large"):
            for person in team.policy.people:
                times = [one.turns.at for one in left if one.person == person and kind in ("", one.kind)]
                assert counted.of(person, kind) == [as_stored(at) if stored else at for at in times]
