"""Histories of a rotation, for the fairness tests: random rosters, weights, comings and goings, caps, edits and restarts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import fsum
from typing import Any

import msgspec

from routing.core.distribution.entries import CLAIMS, LEFT, PoolEntry, Snapshot, What
from routing.core.distribution.rotation import Rotation

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
WEIGHTS = ("even", "small numbers", "anything")
WANTED = 1.1  # leads that members may be off their share while others come and go


def enter(rotation: Rotation, person: str, what: What, **more: Any) -> PoolEntry:
    """Adds an entry."""
    if what in CLAIMS:
        more["among"] = rotation.bearers(rotation.number[person])
    entry = PoolEntry(pool="P", kind="", seq=rotation.seq + 1, person=person, what=what, at=NOW, **more)
    rotation.apply(entry)
    return entry


def fixed(weights: list[float]) -> Rotation:
    """A rotation of p0, p1, … with these weights, all in turn."""
    rotation = Rotation("P")
    for n, weight in enumerate(weights):
        enter(rotation, f"p{n}", "joined", weight=weight)
    return rotation


def leave(rotation: Rotation, person: str) -> None:
    """That member is taken out of the pool for good."""
    enter(rotation, person, "left", weight=rotation.weight[rotation.number[person]], why=LEFT)
    enter(rotation, person, "settled")


def give(rotation: Rotation, among: tuple[int, ...] | None = None) -> int:
    """Gives the next lead."""
    group = None if among is None else rotation.group(among)
    n = rotation.next(group)
    enter(rotation, rotation.people[n], "assigned", leads=1.0, among="" if group is None else group.mask)
    return n


def restarted(rotation: Rotation) -> Rotation:
    """The same rotation, written down as the ledger does it and read again."""
    return Rotation.of(msgspec.json.decode(msgspec.json.encode(rotation.snapshot()), type=Snapshot))


def weight_of(source: random.Random, sort: str) -> float:
    if sort == "even":
        return 1.0
    return float(source.randint(1, 3)) if sort == "small numbers" else source.uniform(0.1, 10)


@dataclass
class Ideal:
    """The same ideals worked out the plain way, one lead and one member at a time, as a check on virtual time."""

    weight: dict[str, float] = field(default_factory=dict)
    ideal: dict[str, float] = field(default_factory=dict)
    assigned: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    capped: set[str] = field(default_factory=set)

    def fills(self, one: str) -> None:
        """That member, who is there, has had as many as they may: they are counted on until they are as far behind as all are."""
        if -self._debt(one) < self._level() - 1e-6:
            self.capped.add(one)

    def lead(self, to: str, among: set[str] | None = None) -> None:
        """One lead: its shares, and whose it is. Those who filled a cap are counted on until they are behind as others are."""
        left, level = 1.0, self._level()
        counted = set(self.weight) - self.away if among is None else among
        while left > 1e-12:
            if among is None:
                self.capped -= {one for one in self.capped if self._until(one, level) <= 1e-12}
            behind = self.capped if among is None else set[str]()
            total = fsum(self.weight[one] for one in counted | behind)
            step = min([left / total, *(self._until(one, level) for one in behind)])
            for one in counted | behind:
                self.ideal[one] = self.ideal.get(one, 0.0) + self.weight[one] * step
            left -= step * total
        self.assigned[to] = self.assigned.get(to, 0) + 1

    def _until(self, one: str, level: float) -> float:
        """How much of a share of weight 1 brings that member to this level."""
        return (self._debt(one) + level) / self.weight[one]

    def _level(self) -> float:
        """What each of those who are counted on is owed on average."""
        counted = set(self.weight) - self.away | self.capped
        return -fsum(self._debt(one) for one in counted) / len(counted)

    def _debt(self, one: str) -> float:
        return self.assigned.get(one, 0) - self.ideal.get(one, 0.0)

    def worst(self) -> float:
        return max(abs(self._debt(one)) for one in self.weight)


@dataclass
class Far:
    """How far members of a team were from their share: the ``worst`` |assigned − ideal|, and at how many of its ``leads`` somebody was
    ``beyond`` what is wanted. Never further than is proved in routing/core/distribution/README.md.

    ``members``: the most that there were at one time. ``apart``: the furthest that one of those who are there was from what these are owed on average."""

    worst: float = 0.0
    apart: float = 0.0
    leads: int = 0
    beyond: int = 0
    members: int = 0

    def note(self, rotation: Rotation) -> None:
        far = rotation.deviation()
        self.members = max(self.members, sum(why != LEFT for why in rotation.why))
        assert far <= (self.members - 1) / 2 + 1e-5
        claims = rotation.claims(rotation.present())
        level = fsum(claims) / len(claims) if claims else 0.0
        self.apart = max(self.apart, *[abs(claim - level) for claim in claims], 0.0)
        self.worst, self.leads, self.beyond = max(self.worst, far), self.leads + 1, self.beyond + (far > WANTED)


def coming_and_going(seed: int, leads: int = 600) -> Far:
    """A team whose members are away now and then, at random."""
    source = random.Random(seed)
    sort = WEIGHTS[seed % 3]
    rotation = fixed([weight_of(source, sort) for _ in range(source.randint(4, 12))])
    people, away, far = list(rotation.people), set[str](), Far()
    for _ in range(leads):
        if source.random() < 0.05:
            person = source.choice(people)
            weight = rotation.weight[rotation.number[person]]
            if person in away:
                away.discard(person)
                enter(rotation, person, "joined", weight=weight)
            elif len(away) < len(people) - 1:
                away.add(person)
                enter(rotation, person, "left", weight=weight, why="off")
        give(rotation)
        far.note(rotation)
    return far


def capped(seed: int, leads: int = 600) -> Far:
    """A team whose members may have so many leads a day."""
    source = random.Random(seed)
    sort = WEIGHTS[seed % 3]
    rotation = fixed([weight_of(source, sort) for _ in range(source.randint(4, 12))])
    caps = {person: source.randint(1, 8) for person in rotation.people}
    day, had, far = source.randint(10, 40), dict.fromkeys(caps, 0), Far()
    for turn in range(leads):
        if turn % day == 0:
            for n, person in enumerate(rotation.people):
                if rotation.state[n] != "in":
                    enter(rotation, person, "joined", weight=rotation.weight[n])
            had = dict.fromkeys(caps, 0)
        if rotation.nobody:
            continue
        n = give(rotation)
        person = rotation.people[n]
        had[person] += 1
        if had[person] == caps[person]:
            enter(rotation, person, "full", weight=rotation.weight[n], why="has had enough today")
        far.note(rotation)
    return far


def capped_and_going(seed: int, leads: int = 600) -> Far:
    """A team with caps whose members are away now and then, at random."""
    source = random.Random(seed)
    sort = WEIGHTS[seed % 3]
    rotation = fixed([weight_of(source, sort) for _ in range(source.randint(4, 12))])
    caps = {person: source.randint(1, 8) for person in rotation.people}
    day, had, away, far = source.randint(10, 40), dict.fromkeys(caps, 0), set[str](), Far()

    def stand(person: str) -> None:
        n, full = rotation.number[person], had[person] >= caps[person]
        why = "off" if person in away else "has had enough today" if full else ""
        if why != rotation.why[n]:
            what: What = "joined" if not why else "left" if person in away else "full"
            enter(rotation, person, what, weight=rotation.weight[n], why=why)

    for turn in range(leads):
        if turn % day == 0:
            had = dict.fromkeys(caps, 0)
            for person in rotation.people:
                stand(person)
        if source.random() < 0.05:
            person = source.choice(rotation.people)
            away ^= {person}
            stand(person)
        if not rotation.nobody:
            person = rotation.people[give(rotation)]
            had[person] += 1
            stand(person)
            far.note(rotation)
    return far


def joining_and_leaving(seed: int, leads: int = 400) -> Far:
    """A pool that people join and leave for good all the time: at random, or just when they were served, or are furthest behind."""
    source = random.Random(seed)
    sort, way = WEIGHTS[seed % 3], source.choice(("any", "served", "behind"))
    rotation = fixed([weight_of(source, sort) for _ in range(source.randint(2, 9))])
    most, far, number = source.randint(3, 10), Far(), 0
    for _ in range(leads):
        if source.random() < 0.1 and rotation.in_turn > 1:
            away = source.choice(rotation.present())
            what: What = "left" if source.random() < 0.5 else "full"
            enter(rotation, rotation.people[away], what, weight=rotation.weight[away], why="a reason")
        able = rotation.present()
        some = tuple(sorted(source.sample(able, source.randint(1, len(able)))))
        served = give(rotation, some if source.random() < 0.3 else None)
        far.note(rotation)
        members = [n for n, why in enumerate(rotation.why) if why != LEFT]
        if len(members) > 2 and source.random() < 0.2:
            behind = max(members, key=rotation.claim)
            goes = {"any": source.choice(members), "served": served, "behind": behind}[way]
            before = rotation.deviation()
            leave(rotation, rotation.people[goes])
            assert rotation.deviation() <= before + 1e-9, "nobody is further from their share because somebody left"
            far.note(rotation)
            members.remove(goes)
        if len(members) < most and source.random() < 0.2:
            gone = [n for n, why in enumerate(rotation.why) if why == LEFT]
            person = rotation.people[source.choice(gone)] if gone and source.random() < 0.3 else f"new{number}"
            number += 1
            enter(rotation, person, "joined", weight=weight_of(source, sort))
            far.note(rotation)
        away_now = [n for n in members if rotation.state[n] != "in"]
        if away_now and (rotation.nobody or source.random() < 0.3):
            back = source.choice(away_now)
            enter(rotation, rotation.people[back], "joined", weight=rotation.weight[back])
    return far


def against_us(seed: int, leads: int = 150) -> Far:
    """A team to which the worst is done: who was just served leaves or fills a cap, or leads are only for those who are behind, or ahead,
    already."""
    source = random.Random(seed)
    rotation = fixed([weight_of(source, WEIGHTS[seed % 3]) for _ in range(source.randint(2, 9))])
    far, way = Far(), source.choice(("served leave", "few", "furthest"))
    for _ in range(leads):
        able, among = rotation.present(), None
        if way == "few":
            among = tuple(sorted(source.sample(able, source.randint(1, len(able)))))
        elif way == "furthest":
            order = sorted(able, key=rotation.claim, reverse=source.random() < 0.5)
            first = source.randint(0, max(len(able) - 2, 0))
            among = tuple(sorted(order[first : first + 2]))
        n = give(rotation, among)
        far.note(rotation)
        away = [one for one, state in enumerate(rotation.state) if state != "in"]
        if away and source.random() < (0.3 if rotation.in_turn > 1 else 1.0):
            back = source.choice(away)
            enter(rotation, rotation.people[back], "joined", weight=rotation.weight[back])
        if rotation.in_turn > 1 and source.random() < (0.8 if way == "served leave" else 0.1):
            what: What = "left" if source.random() < 0.7 else "full"
            enter(rotation, rotation.people[n], what, weight=rotation.weight[n], why="a reason")
    return far
