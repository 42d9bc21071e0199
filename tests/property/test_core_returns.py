"""Turns given, given back, credited, taken again, by members who come and go: nobody gains or loses more than the turn, and only once."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import fsum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core.availability.people import Availability
from routing.core.directory import Directory
from routing.core.distribution.ask import Ask
from routing.core.distribution.attendance import Attendance, Stand
from routing.core.distribution.entries import LEFT
from routing.core.distribution.pools import Pools
from routing.core.distribution.returns import Turns, owed, returned, take_again, take_back
from routing.core.distribution.rotation import Rotation
from rules.policy import Policy
from tests.unit.core.test_distribution import MONDAY, Team

NAMES = ("Ana Diaz", "Bo Li", "Cem Kaya")
WHAT = ("give", "give", "give", "reject", "reject", "accept", "credit", "debit", "by hand", "roster", "roster", "away")
# What happens; which of the leads, of the rosters or of the members it is about.
STEPS = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 60)), max_size=60)
EXACT = 1e-9


@lru_cache
def team_of(roster: int) -> tuple[Policy, Directory]:
    """A pool of those whose bit is set; of everybody where none is."""
    weights = ", ".join(f"{name}: {n + 1}" for n, name in enumerate(NAMES) if (roster or 7) >> n & 1)
    team = Team(f"P: {{method: weighted, members: {{{weights}}}}}")
    return team.policy, team.directory


class Story:
    """One pool whose policy changes, and the leads that it gave."""

    def __init__(self) -> None:
        self.leads: list[Turns] = []
        self.away: set[str] = set()
        self.pools = Pools(*team_of(7))
        self.roster(7)

    def roster(self, number: int) -> None:
        """Another policy: who is no member any more is seen to be none."""
        policy, directory = team_of(number)
        before, attendance = self.pools, Attendance(policy, directory, Availability(policy), ("salesforce",))
        self.pools = Pools(policy, directory, attendance, before.rotations)
        self.pools.entries, self.pools.returned = before.entries, before.returned
        self.rotation = self.pools.rotation(policy.pools["P"], "", MONDAY)

    def play(self, what: str, which: int) -> str:
        """Does it. Returns whose turn it was about, "" where it was about none."""
        ask = Ask(system="salesforce", facts={}, now=MONDAY, decision_id=f"decision {len(self.pools.entries)}")
        if what == "give":
            found = self.pools.pick("P", ask)
            if found.person:
                self.pools.give(found, ask)
                self.leads.append(Turns(found.named, MONDAY, ask.decision_id))
        elif what == "roster":
            self.roster(which % 8)
        elif what == "away":
            self._away(self.rotation.people[which % len(self.rotation.people)])
        elif what == "by hand":
            self._by_hand(self.rotation.people[which % len(self.rotation.people)], which % 3 + 0.5)
        elif self.leads:
            turns = self.leads[which % len(self.leads)]
            {"reject": take_back, "accept": take_again}.get(what, self._hand)(self.pools, turns, what, ask)
            return turns.named[0][2]
        return ""

    def _away(self, person: str) -> None:
        """They go on, or come back from, a leave of which the attendance knows nothing: until the next look."""
        n = self.rotation.number[person]
        if self.rotation.why[n] != LEFT:
            why = "" if self.rotation.why[n] else "off"
            pool = self.pools.policy.pools["P"]
            self.pools._stand(pool, self.rotation, person, Stand(self.rotation.weight[n], why, False, MONDAY), MONDAY)

    def _by_hand(self, person: str, leads: float) -> None:
        if self.rotation.why[self.rotation.number[person]] != LEFT and self.rotation.shares(
            self.rotation.number[person]
        ):
            self.pools.enter(self.rotation, person, "credit", MONDAY, leads=leads, author="Kim")

    def _hand(self, pools: Pools, turns: Turns, what: str, ask: Ask) -> None:
        [(_, _, person)] = turns.named
        found = returned(pools, "P", "", turns.by)
        hand: dict[str, Any] = {"author": "Kim", "given": turns.at, "turn": turns.by}
        if what == "credit" and found is None:
            pools.enter(self.rotation, person, "credit", MONDAY, **hand, **owed(self.rotation, person, "spam"))
        elif what == "debit" and found is not None and found.what == "credit":
            pools.enter(self.rotation, person, "debit", MONDAY, leads=found.leads, **hand)


def claims(rotation: Rotation) -> dict[str, float]:
    return {person: rotation.claim(n) for n, person in enumerate(rotation.people)}


@settings(deadline=None, max_examples=300)
@given(STEPS)
def test_a_turn_moves_nobody_s_claim_by_more_than_it_is_and_comes_back_once(steps: list[tuple[str, int]]) -> None:
    story = Story()
    for what, which in steps:
        before, number = claims(story.rotation), len(story.pools.entries)
        whose = story.play(what, which)
        after = claims(story.rotation)
        assert fsum(after.values()) == pytest.approx(0, abs=1e-6), "what one is owed, others owe"
        if not whose:
            continue
        made = story.pools.entries[number:]
        assert len(made) <= 1
        moved = {person: after[person] - before[person] for person in after}
        sign = 0.0 if not made or not made[0].leads else -1.0 if made[0].what == "debit" else 1.0
        assert all(abs(much) <= 1 + EXACT for much in moved.values())
        assert sign * moved[whose] >= -EXACT, "whoever gets their turn back is owed more, never less"
        assert all(sign * much <= EXACT for person, much in moved.items() if person != whose)
        still = max(map(abs, moved.values())) < EXACT
        if made and made[0].what != "debit":
            assert still == (not sign), "no turn is owed that came out of nobody's"
        assert still or sign
    standing = Counter[str]()
    for entry in story.pools.entries:
        if entry.turn:
            standing[entry.turn] += -1 if entry.what == "debit" else 1
            assert standing[entry.turn] in (0, 1), "returned, taken again, returned …"
    refolded = Rotation("P")
    for entry in story.pools.entries:
        refolded.apply(entry)
    assert refolded.snapshot() == story.rotation.snapshot()
