"""Random days of a pool in the daemon, on both databases: leads in bursts, rejected, accepted after all, credited, by people who come, go
and change their address."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from math import fsum
from typing import Any

import pytest
from msgspec.structs import replace

from routing.core.distribution.rotation import Rotation
from routing.ledger import pools
from routing.ledger.engine import Ledger
from routing.runtime.crediting import adjust, bad_lead, retake_turn, return_turn
from routing.runtime.pooling import Desk
from routing.runtime.replay import Replay, Span
from tests.conftest import ManualClock
from tests.unit.runtime.test_sharing import PEOPLE, Shop, quiet

__all__ = ["quiet"]  # a fixture

FIRST = ("Ana Diaz", "Bo Li", "Cem Kaya")
STEPS = 50


class Day:
    """What happens to a shop, at random."""

    def __init__(self, ledger: Ledger, clock: ManualClock, seed: int) -> None:
        self.random, self.clock, self.people, self.leads = random.Random(seed), clock, PEOPLE, 0
        self.shop = Shop(ledger, clock, self.pool(FIRST), PEOPLE)
        self.happens: list[Callable[[], None]] = [
            *[self.burst, self.rejected, self.rejected, self.accepted, self.credited, self.credited],
            *[self.taken_back, self.made_up, self.roster, self.address],
        ]
        self.done = Counter[str]()
        self.rejections: set[str] = set()  # turns that must have come back

    def play(self) -> None:
        self.burst()
        for _ in range(STEPS):
            self.clock.advance(self.random.choice((0, 0, 1, 60)))
            self.random.choice(self.happens)()

    @staticmethod
    def pool(members: tuple[str, ...]) -> str:
        return f"P: {{members: [{', '.join(members)}], member_caps: [900 in any month, 30 open]}}"

    def burst(self) -> None:
        """Some leads of one moment."""
        numbers = range(self.leads, self.leads + self.random.randint(1, 4))
        self.leads = numbers.stop
        shop = self.shop
        shop.play(*[shop.event("created", f"00Q{n}", email=f"l{n}@b{n}.example") for n in numbers])

    def some(self) -> str:
        return f"00Q{self.random.randrange(self.leads)}"

    def rejected(self) -> None:
        """By whoever has it, under the address that they have now."""
        lead = self.some()
        record = self.shop.record(lead)
        if record.decided_owner:
            name = record.decided_owner.partition("@")[0]
            [owner] = [who for who in self.shop.policy.people if who.startswith(f"{name}@")]
            self.shop.play(self.shop.event("rejected", lead, by=owner, because="no budget"))
            self.rejections.add(record.given_by)

    def accepted(self) -> None:
        lead = self.some()
        record = self.shop.record(lead)
        if record.turns:
            self.shop.play(self.shop.event("accepted", lead, by=record.turns[-1][2]))

    def credited(self) -> None:
        lead = self.some()
        turns = self.shop.record(lead).turns
        if turns:
            who = turns[-1][2]
            self.by_hand(
                lambda desk: return_turn(desk, "P", who, bad_lead(desk, "P", who, lead), author="Kim", reason="x")
            )

    def taken_back(self) -> None:
        lead = self.some()
        for who in self.shop.policy.pools["P"].weights:
            self.by_hand(lambda desk, who=who: retake_turn(desk, "P", who, lead, author="Kim", reason="x"))

    def made_up(self) -> None:
        who, leads = self.random.choice(list(self.shop.policy.pools["P"].weights)), self.random.choice((-1.0, 0.5, 2.0))
        self.by_hand(lambda desk: adjust(desk, "P", "", who, leads, author="Kim", reason="x"))

    def by_hand(self, work: Callable[[Desk], Any]) -> None:
        """As the command does it; what cannot be done is said, and changes nothing."""
        try:
            self.shop.ledger.repeated(lambda conn: work(self.shop.desk(conn, locked=True)))
            self.done["by hand"] += 1
        except (ValueError, KeyError) as error:
            self.done[type(error).__name__] += 1

    def roster(self) -> None:
        members = tuple(name for name in FIRST if self.random.random() < 0.7) or FIRST
        self.shop.live(self.pool(members), self.people)

    def address(self) -> None:
        """One of them has another address, or the old one again."""
        name = self.random.choice(("ana", "bo"))
        old, new = f"{name}@example.com", f"{name}@example.org"
        self.people = self.people.replace(old, new) if old in self.people else self.people.replace(new, old)
        members = tuple(self.shop.policy.people[who].name for who in self.shop.policy.pools["P"].weights)
        self.shop.live(self.pool(members), self.people)
        address = new if new in self.people else old
        event = self.shop.event("updated", f"005{name}", self.shop._n, email=address)
        self.shop.play(replace(event, entity="person"))


@pytest.mark.parametrize("seed", range(3))
def test_each_turn_comes_back_once_and_what_one_is_owed_others_owe(
    any_ledger: Ledger, clock: ManualClock, seed: int
) -> None:
    day = Day(any_ledger, clock, seed)
    day.play()
    with any_ledger.read() as conn:
        entries = pools.entries(conn, "P", 10_000, kind="")[::-1]
        [stored] = pools.rotations(conn, {"P"})
        used = {one.person: one.caps[0] for one in day.shop.desk(conn).view("P").members}
        now = {one.seq: pools.called(conn, one) for one in entries}
    folded = Rotation("P")
    standing, given = Counter[str](), dict[str, str]()
    for entry in entries:
        folded.apply(entry)
        assert fsum(map(folded.claim, range(len(folded.people)))) == pytest.approx(0, abs=1e-6)
        if entry.what == "assigned":
            standing[entry.decision_id] += 1
            given[entry.decision_id] = now[entry.seq]
        elif entry.turn:
            standing[entry.turn] += 1 if entry.what == "debit" else -1
            assert given[entry.turn] == now[entry.seq], "a turn comes back to whoever it was given to"
            assert standing[entry.turn] in (0, 1)
    assert folded.snapshot() == stored.snapshot()
    places = Counter(given[turn] for turn, stands in standing.items() if stands)
    assert used == {who: f"{places[who]} of 900 in the last month" for who in used}
    assert {one.verdict for one in Replay(any_ledger).run(Span())} == {"identical"}
    assert len(day.rejections) > 3 < day.done["by hand"]
    assert day.rejections <= {one.turn for one in entries}
